package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
)

// TestKeyInTPM: a device whose key lies in a TPM enrols, updates over MQTT and renews its certificate; no private key is on
// its disk.
func TestKeyInTPM(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.cfg.Key = "tpm:" + agenttest.StartTPM(t).Device
	site.Certificates(160*time.Minute, false)
	u.enroll()
	before := identityOf(t, u)
	site.Certificates(0, false)
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.until(func() bool { return identityOf(t, u).Certificate != before.Certificate })
	if _, err := os.Lstat(filepath.Join(u.cfg.State, "device.key")); !os.IsNotExist(err) {
		t.Errorf("a key in a file: %v", err)
	}
	if n := len(site.Devices()); n != 1 {
		t.Errorf("%d devices", n)
	}
}

// TestTPMTrouble: what is wrong with the TPM is what the people at the device read; once it is right again, all goes on.
func TestTPMTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		tpm  func(t *testing.T) string
		says string
	}{
		"gone":    {func(t *testing.T) string { return filepath.Join(t.TempDir(), "tpmrm0") }, "there is no TPM at"},
		"another": {func(t *testing.T) string { return agenttest.StartTPM(t).Device }, "the key was made by another TPM, or this one was cleared since"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			release(nil)(site)
			u := newUnit(t, site)
			mine := "tpm:" + agenttest.StartTPM(t).Device
			u.cfg.Key = mine
			u.enroll()
			u.cfg.Key = "tpm:" + c.tpm(t)
			u.until(func() bool { s := u.status(); return s.Trouble != nil && strings.Contains(s.Trouble.Text, c.says) })
			u.cfg.Key = mine
			u.untilEnd(site.Direct(u.id, "1.1.0", nil))
			u.cfg.Key = ""
			if _, err := u.agent().Identity(); err == nil || !strings.Contains(err.Error(), "device key") {
				t.Errorf("no key: %v", err)
			}
		})
	}
}

// TestKeyMoved: an identity is for one key. Whoever moves the key into a TPM enrols anew.
func TestKeyMoved(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	u := newUnit(t, site)
	u.enroll()
	u.cfg.Key = "tpm:" + agenttest.StartTPM(t).Device
	if _, err := u.agent().Identity(); err == nil {
		t.Error("an identity without its key")
	}
	was := identityOf(t, u)
	if err := os.Remove(filepath.Join(u.cfg.State, "identity.json")); err != nil {
		t.Fatal(err)
	}
	u.enroll()
	if now := identityOf(t, u); now.Device == was.Device {
		t.Error("the new key has the old identity")
	}
	u.cfg.Key = ""
	if err := u.agent().Run(context.Background()); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("the old key with the new identity: %v", err)
	}
}

func TestKeyReference(t *testing.T) {
	for key, good := range map[string]bool{"": true, "tpm:": true, "tpm:/dev/tpmrm0": true, "tpm:tpmrm0": false, "pkcs11:token=x": false, "device.key": false, "TPM:": false} {
		_, err := agent.ParseConfig(fmt.Appendf(nil, `{"service": "https://localhost", "root": "r", "product": "p", "hardware": "h", "key": %q,
			"slots": {"a": "a", "b": "b"}, "bootloader": {"type": "file", "dir": "boot"}}`, key))
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), `key "key"`) {
			t.Errorf("%q: %v", key, err)
		}
	}
}
