package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/wire"
)

// TestCertificateIsRenewed: at two thirds of its life, and not before; the new one is used at
// once, by the agent that runs; and nothing else of the identity changes.
func TestCertificateIsRenewed(t *testing.T) {
	for name, tt := range map[string]struct {
		life  time.Duration // two hours of it have passed
		renew bool
	}{"in time": {160 * time.Minute, true}, "early": {200 * time.Minute, false}, "sleeps": {1000 * time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			u := newUnit(t, site)
			site.Certificates(tt.life, false)
			u.enroll()
			before := identityOf(t, u)
			site.Certificates(0, false)
			if !tt.renew {
				u.quiet()
				if after := identityOf(t, u); after.Certificate != before.Certificate {
					t.Errorf("renewed too early: until %v", after.Expires)
				}
				return
			}
			u.until(func() bool {
				c := site.Certificate(u.id)
				return c != nil && c.NotAfter.After(before.Expires.AddDate(1, 0, 0))
			})
			after := identityOf(t, u)
			if after.Device != before.Device || after.Tenant != before.Tenant || after.DirectorRoot != before.DirectorRoot {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
			if n := len(site.Devices()); n != 1 {
				t.Errorf("%d devices", n)
			}
			u.quiet()
			if again := identityOf(t, u); again.Certificate != after.Certificate {
				t.Error("renewed twice")
			}
		})
	}
}

// TestCertificateIsNotRenewed: it is tried again and again, the people see why, and all else
// goes on; then it succeeds.
func TestCertificateIsNotRenewed(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	site.Certificates(160*time.Minute, true)
	u.enroll()
	before := identityOf(t, u)
	u.until(func() bool { s := u.status(); return s.Trouble != nil && s.Trouble.Reason == agent.Certificate })
	if s := u.status(); !bytes.Contains([]byte(s.Trouble.Text), []byte("no certificates today")) ||
		!bytes.Contains([]byte(s.Trouble.Text), []byte(before.Expires.Format("2006-01-02T15:04"))) {
		t.Errorf("trouble: %+v", s.Trouble)
	}
	u.until(func() bool { return site.Reported(u.id).LastError != "" })
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	site.Certificates(0, false)
	u.until(func() bool { return identityOf(t, u).Certificate != before.Certificate && u.status().Trouble == nil })
}

// TestRenewalThatHelpsNot: a certificate that does not last longer is no reason to ask at once
// again, nor one to throw away what the device has.
func TestRenewalThatHelpsNot(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	u := newUnit(t, site)
	site.Certificates(160*time.Minute, false)
	u.enroll()
	before := identityOf(t, u)
	site.Certificates(150*time.Minute, false)
	u.until(func() bool { s := u.status(); return s.Trouble != nil && s.Trouble.Reason == agent.Certificate })
	if after := identityOf(t, u); after.Certificate != before.Certificate {
		t.Error("a certificate of a shorter life was taken")
	}
}

// TestRenewedAfterSleep: a device that slept through the day renews when it wakes.
func TestRenewedAfterSleep(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	u := newUnit(t, site)
	jump := u.timed()
	site.Certificates(30*time.Hour, false)
	u.enroll()
	before := identityOf(t, u)
	u.quiet()
	site.Certificates(0, false)
	jump(20 * time.Hour)
	u.until(func() bool { return identityOf(t, u).Certificate != before.Certificate })
}

// TestKilledInTheRenewal: whatever is left of a renewal that was cut off, the device has a
// certificate that works. The file is replaced as a whole, so what may be left is a new one
// beside the old one.
func TestKilledInTheRenewal(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	u := newUnit(t, site)
	site.Certificates(160*time.Minute, false)
	u.enroll()
	before := identityOf(t, u)
	site.Certificates(0, false)
	// Killed at the moment at which the new one stands in the folder.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if !u.live(ctx, func() bool { return identityOf(t, u).Certificate != before.Certificate }) {
		t.Fatal("not renewed")
	}
	write(t, u.path("state/.identity.json.tmp"), []byte(`{"schema":1,"ten`))
	u.power()
	seen := site.Reports(u.id)
	u.until(func() bool { return site.Reports(u.id) > seen })
	if c := site.Certificate(u.id); c.NotAfter.Before(before.Expires.AddDate(1, 0, 0)) {
		t.Errorf("the old certificate is used, until %v", c.NotAfter)
	}
}

// identityOf reads what the unit has.
func identityOf(t *testing.T, u *unit) (id wire.EnrollResponse) {
	t.Helper()
	b, err := os.ReadFile(u.path("state/identity.json"))
	if err == nil {
		err = json.Unmarshal(b, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}
