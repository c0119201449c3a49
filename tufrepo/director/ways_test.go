package director_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

func (s *site) allow(tenant string, ways ...director.Way) {
	s.t.Helper()
	must(s.t, s.SetPolicy(ctx, tenant, director.Policy{Ways: ways}))
}

func (s *site) stored(id string) (dev store.Device) {
	s.t.Helper()
	must(s.t, s.Store.View(ctx, func(tx *store.Tx) (err error) { dev, err = tx.Device(id); return err }))
	return dev
}

func from(addr string) *director.Caller { return &director.Caller{Source: netip.MustParseAddr(addr)} }

func TestPolicyIsTokensOnlyUnlessToldOtherwise(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 9)
	must(t, s.Import(ctx, "acme", []director.ExpectedRow{{Serial: "l1"}}))
	code, _, err := s.NewCode(ctx, "acme", "", time.Hour)
	must(t, err)
	for what, claim := range map[string]string{"list": "list:acme", "code": code} {
		if _, err := s.Enroll(ctx, newDevice(t, claim, "l1").EnrollRequest, nil); wireCode(err) != wire.CodeClaimUnknown {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := s.AddCustom(ctx, director.CustomOrder{Tenant: "acme", Product: "base", Hardware: "base-unit-1"}); wireCode(err) != wire.CodeConflict {
		t.Errorf("custom: %v", err)
	}
	s.enrolled(token, "t1")
	s.allow("acme")
	if _, err := s.Enroll(ctx, newDevice(t, token, "t2").EnrollRequest, nil); wireCode(err) != wire.CodeClaimUnknown {
		t.Errorf("nothing is allowed: %v", err)
	}
	s.allow("acme", director.Ways()...)
	if _, err := s.Enroll(ctx, newDevice(t, code, "c1").EnrollRequest, nil); err != nil {
		t.Errorf("the code was used up by a refusal: %v", err)
	}
	if err := s.SetPolicy(ctx, "acme", director.Policy{Ways: []director.Way{"bluetooth"}}); wireCode(err) != wire.CodeBadRequest {
		t.Errorf("an unknown way: %v", err)
	}
	if err := s.SetPolicy(ctx, "nobody", director.Policy{}); wireCode(err) != wire.CodeNotFound {
		t.Errorf("no tenant: %v", err)
	}
}

// wireCode is code under a name that no variable hides.
func wireCode(err error) string { return code(err) }

func TestTokenForAProductAndAGroup(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	token, c, err := s.NewToken(ctx, director.TokenOrder{Tenant: "acme", Uses: 5, Lifetime: time.Hour, Product: "base", Group: "berlin/3rd floor"})
	must(t, err)
	id := s.enrolled(token, "s1")
	if dev := s.stored(id.Device); dev.Group != "berlin/3rd floor" {
		t.Errorf("group %q", dev.Group)
	}
	camera := newDevice(t, token, "s2")
	camera.Product = "camera"
	if _, err := s.Enroll(ctx, camera.EnrollRequest, nil); code(err) != wire.CodeClaimUnknown || !strings.Contains(err.Error(), "base") {
		t.Errorf("another product: %v", err)
	}
	if err := s.RevokeClaim(ctx, "globex", c.ID); code(err) != wire.CodeNotFound {
		t.Errorf("withdrawn by another tenant: %v", err)
	}
	must(t, s.RevokeClaim(ctx, "acme", c.ID))
	if _, err := s.Enroll(ctx, newDevice(t, token, "s3").EnrollRequest, nil); code(err) != wire.CodeClaimUnknown || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("a withdrawn token: %v", err)
	}
	if err := s.RevokeClaim(ctx, "acme", c.ID); code(err) != wire.CodeNotFound {
		t.Errorf("withdrawn twice: %v", err)
	}
}

func TestCodeLetsOneDeviceInOnce(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.allow("acme", director.WayCode)
	typed, _, err := s.NewCode(ctx, "acme", "lab", time.Hour)
	must(t, err)
	dev := newDevice(t, " "+strings.ToLower(typed)+" ", "s1")
	out, err := s.Enroll(ctx, dev.EnrollRequest, nil)
	must(t, err)
	if got := s.stored(out.Device); got.Group != "lab" || got.Tenant != "acme" {
		t.Errorf("%+v", got)
	}
	s.pass(time.Minute)
	again, err := s.Enroll(ctx, dev.EnrollRequest, nil) // the answer was lost
	if err != nil || again.Device != out.Device {
		t.Errorf("the same device again: %v", err)
	}
	if _, err := s.Enroll(ctx, newDevice(t, typed, "s2").EnrollRequest, nil); code(err) != wire.CodeClaimUnknown {
		t.Errorf("another device: %v", err)
	}
	late, _, err := s.NewCode(ctx, "acme", "", time.Minute)
	must(t, err)
	s.pass(time.Hour)
	if _, err := s.Enroll(ctx, newDevice(t, late, "s3").EnrollRequest, nil); code(err) != wire.CodeClaimUnknown {
		t.Errorf("a code that is over: %v", err)
	}
	if _, _, err := s.NewCode(ctx, "acme", "", 25*time.Hour); code(err) != wire.CodeBadRequest {
		t.Errorf("a code for longer than a day: %v", err)
	}
	s.start()
	fresh, _, err := s.NewCode(ctx, "acme", "", time.Hour)
	must(t, err)
	s.start() // codes survive a restart
	if _, err := s.Enroll(ctx, newDevice(t, fresh, "s4").EnrollRequest, nil); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// A guesser with as many addresses as they like gets so many guesses and no more.
func TestCodesCannotBeGuessed(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.allow("acme", director.WayCode)
	guesses, refused := 0, 0
	random := bytes.NewReader(bytes.Repeat([]byte{7, 1, 2, 3, 4, 5, 6}, 2000))
	r := newDevice(t, "", "s1").EnrollRequest
	const minutes = 10
	for i := range minutes * 60 {
		guess, err := access.NewCode(random)
		must(t, err)
		r.Claim = guess.Reveal()
		_, err = s.Enroll(ctx, r, from(fmt.Sprintf("10.1.%d.%d", i/250, i%250)))
		switch code(err) {
		case wire.CodeClaimUnknown:
			guesses++
		case wire.CodeBusy:
			refused++
		default:
			t.Fatal(err)
		}
		s.pass(time.Second)
	}
	if most := access.CodeTries * (minutes + 1); guesses > most || guesses < most/2 || refused == 0 {
		t.Errorf("%d guesses in %d minutes, at most %d are allowed; %d refused", guesses, minutes, most, refused)
	}
	typed, _, err := s.NewCode(ctx, "acme", "", time.Hour)
	must(t, err)
	s.pass(time.Minute)
	r.Claim = typed
	if _, err := s.Enroll(ctx, r, from("10.9.9.9")); err != nil {
		t.Errorf("an honest person a minute later: %v", err)
	}
}

func TestOneAddressTriesFiveCodesAMinute(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	r := newDevice(t, "7K3M-9QXA-0", "s1").EnrollRequest // mistyped: it is never looked up
	for i := range access.CodeTriesSource {
		// One /64 is one address.
		if _, err := s.Enroll(ctx, r, from(fmt.Sprintf("2001:db8::%x", i+1))); code(err) != wire.CodeClaimUnknown || !strings.Contains(err.Error(), "mistyped") {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	if _, err := s.Enroll(ctx, r, from("2001:db8::ffff")); code(err) != wire.CodeBusy {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.Enroll(ctx, r, from("2001:db8:0:1::1")); code(err) != wire.CodeClaimUnknown {
		t.Errorf("another address: %v", err)
	}
	s.pass(time.Minute)
	if _, err := s.Enroll(ctx, r, from("2001:db8::1")); code(err) != wire.CodeClaimUnknown {
		t.Errorf("a minute later: %v", err)
	}
}

// Honest people who all type right codes do not use up the tries of the service.
func TestRightCodesCostNoTries(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.allow("acme", director.WayCode)
	for i := range 2 * access.CodeTries {
		typed, _, err := s.NewCode(ctx, "acme", "", time.Hour)
		must(t, err)
		r := newDevice(t, typed, fmt.Sprint("s", i)).EnrollRequest
		if _, err := s.Enroll(ctx, r, from(fmt.Sprintf("10.0.0.%d", i))); err != nil {
			t.Fatalf("device %d: %v", i, err)
		}
	}
}

func TestListBindsTheFirstKey(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.allow("acme", director.WayList)
	rows, err := director.ParseExpected(strings.NewReader("serial,mac,product,hardware,group\nA1,02-00-00-00-00-0A,base,base-unit-1,berlin\nA2,,,,\n"))
	must(t, err)
	must(t, s.Import(ctx, "acme", rows))
	for what, change := range map[string]func(*wire.EnrollRequest){
		"another serial":   func(r *wire.EnrollRequest) { r.Serial = "A9" },
		"another MAC":      func(r *wire.EnrollRequest) { r.MAC = "02:00:00:00:00:0b" },
		"no MAC":           func(r *wire.EnrollRequest) { r.MAC = "" },
		"bad MAC":          func(r *wire.EnrollRequest) { r.MAC = "zz" },
		"another product":  func(r *wire.EnrollRequest) { r.Product = "camera" },
		"another hardware": func(r *wire.EnrollRequest) { r.Hardware = "x" },
		"another tenant":   func(r *wire.EnrollRequest) { r.Claim = "list:globex" },
		"no tenant":        func(r *wire.EnrollRequest) { r.Claim = "list:" },
		"a bad tenant":     func(r *wire.EnrollRequest) { r.Claim = "list:../x" },
	} {
		r := newDevice(t, "list:acme", "A1")
		r.MAC = "02:00:00:00:00:0a"
		change(&r.EnrollRequest)
		if _, err := s.Enroll(ctx, r.EnrollRequest, nil); code(err) != wire.CodeClaimUnknown {
			t.Errorf("%s: %v", what, err)
		}
	}
	dev := newDevice(t, "list:acme", "A1")
	dev.MAC = "0200.0000.000a"
	out, err := s.Enroll(ctx, dev.EnrollRequest, nil)
	must(t, err)
	if got := s.stored(out.Device); got.Group != "berlin" {
		t.Errorf("group %q", got.Group)
	}
	if again, err := s.Enroll(ctx, dev.EnrollRequest, nil); err != nil || again.Device != out.Device {
		t.Errorf("a lost answer: %v", err)
	}
	moved := dev.EnrollRequest // one key, two places on the list
	moved.Serial, moved.MAC = "A2", ""
	if _, err := s.Enroll(ctx, moved, nil); code(err) != wire.CodeConflict {
		t.Errorf("the same key as another device: %v", err)
	}
	must(t, s.Import(ctx, "acme", rows)) // importing again frees nobody
	clone := newDevice(t, "list:acme", "A1")
	clone.MAC = dev.MAC
	if _, err := s.Enroll(ctx, clone.EnrollRequest, nil); code(err) != wire.CodeConflict {
		t.Errorf("a second key: %v", err)
	}
}

func (s *site) clones(tenant string) (all []store.Clone) {
	s.t.Helper()
	must(s.t, s.Store.View(ctx, func(tx *store.Tx) (err error) { all, err = tx.Clones(tenant); return err }))
	return all
}

func TestQuarantineAndItsTwoEnds(t *testing.T) {
	for _, way := range []string{"list", "token"} {
		t.Run(way, func(t *testing.T) {
			s := newSite(t)
			claim := s.tenant("acme", 9)
			s.allow("acme", director.WayToken, director.WayList)
			if way == "list" {
				claim = "list:acme"
				must(t, s.Import(ctx, "acme", []director.ExpectedRow{{Serial: "A1"}}))
			}
			old := s.enrolled(claim, "A1")
			cut := ""
			s.OnWithdrawn(func(device string) { cut = device })
			second, third := newDevice(t, claim, "A1"), newDevice(t, claim, "A1")
			for _, d := range []device{second, third, second} {
				if _, err := s.Enroll(ctx, d.EnrollRequest, nil); code(err) != wire.CodeConflict || !strings.Contains(err.Error(), "enroll resolve") {
					t.Fatalf("a clone: %v", err)
				}
			}
			all := s.clones("acme")
			if len(all) != 2 || all[0].Serial != "A1" || all[0].Count+all[1].Count != 3 {
				t.Fatalf("quarantine: %+v", all)
			}
			if _, err := s.Resolve(ctx, "acme", "A1", "", true); code(err) != wire.CodeConflict {
				t.Errorf("which one: %v", err)
			}
			if _, err := s.Resolve(ctx, "acme", "A7", "", true); code(err) != wire.CodeNotFound {
				t.Errorf("no such serial: %v", err)
			}
			key := keyOf(t, second)
			if _, err := s.Resolve(ctx, "acme", "A1", keyOf(t, third), false); err != nil {
				t.Fatalf("drop: %v", err)
			}
			if s.stored(old.Device).Revoked != (time.Time{}) {
				t.Error("dropping a clone revoked the device")
			}
			if _, err := s.Resolve(ctx, "acme", "A1", key[:8], true); err != nil {
				t.Fatalf("accept: %v", err)
			}
			if s.stored(old.Device).Revoked.IsZero() || cut != old.Device {
				t.Errorf("the old device stays; cut %q", cut)
			}
			if _, err := s.Enroll(ctx, third.EnrollRequest, nil); way == "list" && code(err) != wire.CodeConflict {
				t.Errorf("the third key: %v", err)
			}
			if out, err := s.Enroll(ctx, second.EnrollRequest, nil); way == "list" && (err != nil || out.Device == old.Device) {
				t.Errorf("the accepted key: %v", err)
			}
		})
	}
}

func TestSameMACInAnotherForm(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 5)
	a, b := newDevice(t, token, "s1"), newDevice(t, token, "s2")
	a.MAC, b.MAC = "02:00:00:00:00:0A", "0200.0000.000a"
	_, err := s.Enroll(ctx, a.EnrollRequest, nil)
	must(t, err)
	if _, err := s.Enroll(ctx, b.EnrollRequest, nil); code(err) != wire.CodeConflict {
		t.Errorf("%v", err)
	}
}

// Keys cost nothing: whoever makes thousands for one serial fills no database.
func TestQuarantineIsBounded(t *testing.T) {
	s := newSite(t)
	s.enrolled(s.tenant("acme", 5), "s1")
	must(t, s.Store.Update(ctx, func(tx *store.Tx) error {
		for i := range 1000 {
			if _, err := tx.NoteClone("acme", "x", fmt.Append(nil, "key", i), s.clock()); err != nil {
				return err
			}
		}
		return nil
	}))
	token, _, err := s.NewToken(ctx, director.TokenOrder{Tenant: "acme", Uses: 5, Lifetime: time.Hour})
	must(t, err)
	if _, err := s.Enroll(ctx, newDevice(t, token, "s1").EnrollRequest, nil); code(err) != wire.CodeConflict {
		t.Errorf("%v", err)
	}
	if n := len(s.clones("acme")); n != 1000 {
		t.Errorf("%d keys in quarantine", n)
	}
}

func TestNoMoreCodesThanAreSafe(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.tenant("globex", 1)
	must(t, s.Store.Update(ctx, func(tx *store.Tx) error {
		for i := range access.MaxCodes {
			if err := tx.AddCode(store.Code{Hash: fmt.Append(nil, "h", i), Tenant: "acme", Created: s.clock(), Expires: s.clock().Add(time.Hour)}); err != nil {
				return err
			}
		}
		return nil
	}))
	if _, _, err := s.NewCode(ctx, "globex", "", time.Hour); code(err) != wire.CodeBusy {
		t.Errorf("one more: %v", err)
	}
	s.pass(2 * time.Hour)
	if _, _, err := s.NewCode(ctx, "globex", "", time.Hour); err != nil {
		t.Errorf("when they are over: %v", err)
	}
}

func keyOf(t *testing.T, d device) string {
	t.Helper()
	hash, err := director.KeyHash(d.key.Public())
	must(t, err)
	return hex.EncodeToString(hash)
}

func TestListsThatAreRefused(t *testing.T) {
	long := strings.Repeat("x", 200)
	for what, list := range map[string]string{
		"":                                        "is empty",
		"\xef\xbb\xbf \n":                         "is empty",
		"serial\n":                                "no devices",
		"product\nbase\n":                         "neither a column serial nor a column mac",
		"serial,serial\na,b\n":                    "column",
		"serial,colour\na,b\n":                    "colour",
		"serial,mac\na\n":                         "not CSV",
		"serial\n\"a\n":                           "not CSV",
		"serial,mac\n,\n":                         "line 2: it has neither",
		"mac\n00:00:00:00:00:00\n":                "no single network card",
		"mac\nff:ff:ff:ff:ff:ff\n":                "no single network card",
		"mac\n01:00:5e:00:00:01\n":                "no single network card",
		"mac\n02:00:00:00:00\n":                   "six bytes",
		"mac\n02:00:00:00:00:00:00:01\n":          "six bytes",
		"serial\n" + long + "\n":                  "more than 128",
		"serial\na\x07b\n":                        "cannot be printed",
		"serial\na\na\n":                          "line 3: serial a stands in line 2 already",
		"mac\n02:00:00:00:00:01\n02000000 0001\n": "six bytes",
		"mac\n02:00:00:00:00:01\n020000000001\n":  "stands in line 2 already",
		"serial,group\na,../b\n":                  "group",
		"serial,product\na,A B\n":                 "line 2",
		"[":                                       "cut off",
		"[{\"serial\":\"a\"}":                     "cut off",
		"[{\"serial\":1}]":                        "entry 1",
		"[{\"colour\":\"a\"}]":                    "entry 1",
		"[{\"serial\":\"a\"}] x":                  "behind the list",
		"[]":                                      "no devices",
	} {
		rows, err := director.ParseExpected(strings.NewReader(what))
		if code(err) == "" || !strings.Contains(err.Error(), list) {
			t.Errorf("%.40q: %v %v, want %q", what, rows, err, list)
		}
	}
	var huge strings.Builder
	huge.WriteString("serial\n")
	for i := range director.MaxImportRows + 1 {
		fmt.Fprintf(&huge, "s%d\n", i)
	}
	if _, err := director.ParseExpected(strings.NewReader(huge.String())); code(err) != wire.CodeTooLarge {
		t.Errorf("too many rows: %v", err)
	}
	if _, err := director.ParseExpected(endless{}); code(err) != wire.CodeTooLarge {
		t.Errorf("an endless list: %v", err)
	}
}

// endless is a list without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func FuzzParseExpected(f *testing.F) {
	f.Add("serial,mac\nA1,02:00:00:00:00:01\n")
	f.Add(`[{"serial":"A1","mac":"02-00-00-00-00-01"}]`)
	f.Fuzz(func(t *testing.T, list string) {
		rows, err := director.ParseExpected(strings.NewReader(list))
		if err != nil && (code(err) == "" || len(err.Error()) > 8<<10) {
			t.Errorf("an error that says nothing, or too much: %v", err)
		}
		for _, r := range rows {
			if mac, err := director.ParseMAC(r.MAC); r.MAC != "" && (err != nil || mac != r.MAC) {
				t.Errorf("MAC %q: %v", r.MAC, err)
			}
			if r.Serial == "" && r.MAC == "" {
				t.Error("a device without a name")
			}
		}
	})
}

func TestCustomDevice(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.allow("acme", director.WayCustom)
	order := director.CustomOrder{Tenant: "acme", Name: "panel-7", Product: "base", Hardware: "base-unit-1", Group: "hall"}
	key, c, err := s.AddCustom(ctx, order)
	must(t, err)
	id, err := s.Login(ctx, c.ID, key)
	if err != nil || id != (director.Identity{Tenant: "acme", Device: c.ID}) {
		t.Fatalf("login: %v %v", id, err)
	}
	if _, err := s.Login(ctx, "", key); err != nil {
		t.Errorf("the key alone: %v", err)
	}
	if d := s.direction(id); d.Target != nil {
		t.Errorf("its first direction: %+v", d)
	}
	s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", Devices: []string{c.ID}})
	if d := s.direction(id); d.Target == nil {
		t.Error("it is not directed")
	}
	otherKey, other, err := s.AddCustom(ctx, director.CustomOrder{Tenant: "acme", Product: "base", Hardware: "base-unit-1"})
	must(t, err)
	for what, try := range map[string][2]string{
		"nothing": {"", ""}, "no key": {c.ID, ""}, "another's key": {c.ID, otherKey}, "another's id": {other.ID, key},
		"cut off": {c.ID, key[:len(key)-1]}, "not a UUID": {"panel-7", key}, "a token": {c.ID, "flt_" + key[4:]},
	} {
		if _, err := s.Login(ctx, try[0], try[1]); code(err) != wire.CodeUnauthorized || strings.Contains(err.Error(), "fld_") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, change := range map[string]func(*director.CustomOrder){
		"id": func(o *director.CustomOrder) { o.ID = "x" }, "upper case": func(o *director.CustomOrder) { o.ID = strings.ToUpper(c.ID) },
		"nil id":  func(o *director.CustomOrder) { o.ID = "00000000-0000-0000-0000-000000000000" },
		"product": func(o *director.CustomOrder) { o.Product = "" }, "hardware": func(o *director.CustomOrder) { o.Hardware = "a b" },
		"group": func(o *director.CustomOrder) { o.Group = "/" }, "name": func(o *director.CustomOrder) { o.Name = "a\nb" },
	} {
		o := order
		o.Name = "panel-8"
		change(&o)
		if _, _, err := s.AddCustom(ctx, o); code(err) != wire.CodeBadRequest {
			t.Errorf("bad %s: %v", what, err)
		}
	}
	for what, o := range map[string]director.CustomOrder{
		"the same id":   {Tenant: "acme", ID: c.ID, Name: "n", Product: "base", Hardware: "base-unit-1"},
		"the same name": {Tenant: "acme", Name: "panel-7", Product: "base", Hardware: "base-unit-1"},
	} {
		if _, _, err := s.AddCustom(ctx, o); code(err) != wire.CodeConflict {
			t.Errorf("%s: %v", what, err)
		}
	}

	cut := 0
	s.OnWithdrawn(func(device string) {
		if device == c.ID {
			cut++
		}
	})
	before, err := s.Withdrawals(ctx)
	must(t, err)
	next, err := s.RotateCustom(ctx, "acme", c.ID)
	must(t, err)
	if after, err := s.Withdrawals(ctx); err != nil || after == before {
		t.Errorf("other directors do not hear of it: %v", err)
	}
	if _, err := s.Login(ctx, c.ID, key); code(err) != wire.CodeUnauthorized {
		t.Errorf("the old key: %v", err)
	}
	if _, err := s.Login(ctx, c.ID, next); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if err := s.RevokeCustom(ctx, "globex", c.ID); code(err) != wire.CodeNotFound {
		t.Errorf("another tenant's: %v", err)
	}
	must(t, s.RevokeCustom(ctx, "acme", c.ID))
	if _, err := s.Login(ctx, c.ID, next); code(err) != wire.CodeRevoked {
		t.Errorf("after revoking: %v", err)
	}
	if _, err := s.RotateCustom(ctx, "acme", c.ID); code(err) != wire.CodeNotFound {
		t.Errorf("rotating a revoked one: %v", err)
	}
	if cut != 2 {
		t.Errorf("cut off %d times, want 2", cut)
	}
}

func TestRevokedDeviceCannotRenew(t *testing.T) {
	s := newSite(t)
	dev := newDevice(t, s.tenant("acme", 2), "s1")
	out, err := s.Enroll(ctx, dev.EnrollRequest, nil)
	must(t, err)
	me := &director.Caller{Identity: director.Identity{Tenant: out.Tenant, Device: out.Device}}
	must(t, s.Revoke(ctx, out.Device))
	dev.Claim = ""
	// Even if a connection from before still says who it is.
	if _, err := s.Enroll(ctx, dev.EnrollRequest, me); code(err) != wire.CodeRevoked {
		t.Errorf("renewal: %v", err)
	}
}

func TestSwitchedOffDeviceIsLetInToFetchItsDirection(t *testing.T) {
	s := newSite(t)
	dev := newDevice(t, s.tenant("acme", 2), "s1")
	out, err := s.Enroll(ctx, dev.EnrollRequest, nil)
	must(t, err)
	id := director.Identity{Tenant: out.Tenant, Device: out.Device}
	before, err := s.Withdrawals(ctx)
	must(t, err)
	must(t, s.Cloud(ctx, "acme", id.Device, true))
	if after, _ := s.Withdrawals(ctx); after == before {
		t.Error("connections that are open are not looked at")
	}
	got, err := s.Admit(ctx, parse(t, out.Certificate))
	if !director.IsOffline(err) || got != id {
		t.Fatalf("admit: %v %v", got, err)
	}
	d := s.direction(id)
	if !d.Offline {
		t.Fatalf("direction %+v", d)
	}
	r := wire.Reported{Schema: 1, Time: s.clock(), BootID: "b", Agent: "1", Product: "base", Hardware: "base-unit-1", Version: "1.0.0", Counter: 1, Slot: "a", State: wire.Idle, Direction: d.Version, Offline: true}
	must(t, s.say(id, wire.LeafReported, r))
	if _, err := s.Admit(ctx, parse(t, out.Certificate)); !director.IsOffline(err) {
		t.Errorf("after its last word: %v", err)
	}
	r.Offline = false // somebody has switched it on there
	must(t, s.say(id, wire.LeafReported, r))
	if _, err := s.Admit(ctx, parse(t, out.Certificate)); err != nil {
		t.Errorf("after it was switched on at the device: %v", err)
	}
}
