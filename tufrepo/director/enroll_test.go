package director_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
)

func TestClaimTokens(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 2)
	id, secret, _ := strings.Cut(token, ".")

	for what, bad := range map[string]string{
		"empty": "", "id only": id, "wrong secret": id + "." + strings.ToUpper(secret), "unknown id": "000000000000." + secret,
		"cut": token[:len(token)-1], "longer": token + "A",
	} {
		if _, err := s.Enroll(ctx, newDevice(t, bad, "s0").EnrollRequest, nil); code(err) != wire.CodeClaimUnknown {
			t.Errorf("%s: %v, want claim_unknown", what, err)
		}
	}

	first := newDevice(t, token, "s1")
	a, err := s.Enroll(ctx, first.EnrollRequest, nil)
	must(t, err)
	s.enrolled(token, "s2")
	if _, err := s.Enroll(ctx, newDevice(t, token, "s3").EnrollRequest, nil); code(err) != wire.CodeClaimUsed {
		t.Errorf("third of two uses: %v", err)
	}
	// The answer to the first was lost: the same key gets the same name, though the
	// token is used up.
	b, err := s.Enroll(ctx, first.EnrollRequest, nil)
	if err != nil || a.Device != b.Device || a.Certificate == b.Certificate {
		t.Errorf("asked again: %v, device %s and %s", err, a.Device, b.Device)
	}
	s.pass(25 * time.Hour)
	if _, err := s.Enroll(ctx, first.EnrollRequest, nil); code(err) != wire.CodeClaimExpired {
		t.Errorf("after its end: %v", err)
	}
	assertNotOnDisk(t, s.dir, secret)
}

// assertNotOnDisk looks for a secret in every file.
func assertNotOnDisk(t *testing.T, dir, secret string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s holds the secret of a token", path)
		}
		return err
	}))
}

func TestSameSerialOtherKey(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 10)
	id := s.enrolled(token, "s1")
	clone := newDevice(t, token, "s1")
	if _, err := s.Enroll(ctx, clone.EnrollRequest, nil); code(err) != wire.CodeConflict {
		t.Fatalf("a clone: %v, want conflict", err)
	}
	withMAC := newDevice(t, token, "s5")
	withMAC.MAC = "02:00:00:00:00:01"
	_, err := s.Enroll(ctx, withMAC.EnrollRequest, nil)
	must(t, err)
	sameMAC := newDevice(t, token, "s6")
	sameMAC.MAC = withMAC.MAC
	if _, err := s.Enroll(ctx, sameMAC.EnrollRequest, nil); code(err) != wire.CodeConflict {
		t.Errorf("the same MAC: %v, want conflict", err)
	}

	other := s.enrolled(s.tenant("globex", 1), "s1") // tenants do not share serials
	if other.Tenant != "globex" {
		t.Errorf("enrolled with %s", other.Tenant)
	}
	must(t, s.Revoke(ctx, id.Device))
	out, err := s.Enroll(ctx, clone.EnrollRequest, nil)
	if err != nil || out.Device == id.Device {
		t.Errorf("after the old one was revoked: %v, device %s", err, out.Device)
	}
}

func TestRevokedAndForeignKeys(t *testing.T) {
	s := newSite(t)
	acme, globex := s.tenant("acme", 9), s.tenant("globex", 9)
	dev := newDevice(t, acme, "s1")
	out, err := s.Enroll(ctx, dev.EnrollRequest, nil)
	must(t, err)
	moved := dev.EnrollRequest
	moved.Claim = globex
	if _, err := s.Enroll(ctx, moved, nil); code(err) != wire.CodeConflict {
		t.Errorf("the key of another tenant's device: %v", err)
	}
	cert := parse(t, out.Certificate)
	if id, err := s.Admit(ctx, cert); err != nil || id.Device != out.Device {
		t.Errorf("admit: %v %v", id, err)
	}
	must(t, s.Revoke(ctx, out.Device))
	if _, err := s.Admit(ctx, cert); code(err) != wire.CodeRevoked {
		t.Errorf("admit after revoking: %v", err)
	}
	if _, err := s.Enroll(ctx, dev.EnrollRequest, nil); code(err) != wire.CodeRevoked {
		t.Errorf("enrol after revoking: %v", err)
	}
	if err := s.Revoke(ctx, out.Device); code(err) != wire.CodeNotFound {
		t.Errorf("revoke twice: %v", err)
	}
}

func TestAdmitLooksAtTheKey(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	// The authority signs another key under the same name, as after a break-in.
	text, _, err := s.CA.Issue(newDevice(t, "", "").key.Public(), id.Tenant, id.Device)
	must(t, err)
	if _, err := s.Admit(ctx, parse(t, string(text))); code(err) != wire.CodeUnauthorized {
		t.Errorf("another key under the same name: %v", err)
	}
	text, _, err = s.CA.Issue(newDevice(t, "", "").key.Public(), id.Tenant, "nobody")
	must(t, err)
	if _, err := s.Admit(ctx, parse(t, string(text))); code(err) != wire.CodeUnauthorized {
		t.Errorf("an unknown device: %v", err)
	}
}

func TestRenewalWithoutToken(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 2)
	dev := newDevice(t, token, "s1")
	out, err := s.Enroll(ctx, dev.EnrollRequest, nil)
	must(t, err)
	s.pass(300 * 24 * time.Hour)
	me := &director.Caller{Identity: director.Identity{Tenant: out.Tenant, Device: out.Device}}
	dev.Claim = ""
	again, err := s.Enroll(ctx, dev.EnrollRequest, me)
	if err != nil || again.Device != out.Device || !again.Expires.After(out.Expires) {
		t.Errorf("renewal: %v %+v", err, again)
	}
	if _, err := s.Enroll(ctx, newDevice(t, "", "s1").EnrollRequest, me); code(err) == "" {
		t.Errorf("renewal with a new key: %v", err)
	}
	if _, err := s.Enroll(ctx, dev.EnrollRequest, nil); code(err) != wire.CodeClaimUnknown {
		t.Errorf("renewal without a certificate: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 1)
	for what, change := range map[string]func(*wire.EnrollRequest){
		"product":  func(r *wire.EnrollRequest) { r.Product = "../x" },
		"hardware": func(r *wire.EnrollRequest) { r.Hardware = "a b" },
		"csr":      func(r *wire.EnrollRequest) { r.CSR = "x" },
	} {
		r := newDevice(t, token, "s1").EnrollRequest
		change(&r)
		if _, err := s.Enroll(ctx, r, nil); code(err) != wire.CodeBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.enrolled(token, "s1") // the token was not used up
}

func parse(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	c, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return c
}
