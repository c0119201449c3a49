package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/client"
)

var (
	in1970 = time.Unix(0, 0).UTC()
	in2099 = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

func TestClockAt1970(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	if got, want := d.client.TrustedTime(), today; !got.Equal(want) {
		t.Fatalf("trusted time %s, want the clock's %s", got, want)
	}
	d.now = in1970 // the battery is out
	d.restart()
	if got, want := d.client.TrustedTime(), r.Issued; !got.Equal(want) {
		t.Errorf("trusted time %s, want the last issue time %s", got, want)
	}
	d.mustRefresh()

	// What expired before the last issue time stays expired.
	r.Timestamp.Signed.Expires = r.Issued.Add(-time.Minute)
	r.Issued = r.Issued.Add(-time.Hour)
	r.Publish("timestamp")
	d.refuses(client.ErrExpired)

	// And a device that saw nothing yet goes by its build time.
	fresh := newDevice(t, r)
	fresh.now = in1970
	fresh.config.BuildTime = today
	fresh.restart()
	if got := fresh.client.TrustedTime(); !got.Equal(today) {
		t.Errorf("trusted time %s, want the build time", got)
	}
	fresh.refuses(client.ErrExpired)
}

// TestFirstContactAt1970: the first timestamp tells the time to what follows it.
func TestFirstContactAt1970(t *testing.T) {
	for _, role := range []string{"snapshot", "targets"} {
		r := newRepo(t)
		late := r.Issued.AddDate(0, 0, -1)
		if role == "snapshot" {
			r.Snapshot.Signed.Expires = late
		} else {
			r.Targets[role].Signed.Expires = late
		}
		r.PublishAll()
		d := newDevice(t, r)
		d.now = in1970
		d.refuses(client.ErrExpired)
	}
}

func TestClockAt2099(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	d.now = in2099
	d.refuses(client.ErrExpired)
	var cause *client.ExpiredError
	if err := d.refresh(); !errors.As(err, &cause) || !cause.Now.Equal(in2099) {
		t.Fatalf("%v does not say what the device took for now", err)
	}
	d.restart()
	if got := d.versions().Time; !got.Equal(r.Issued) {
		t.Errorf("the floor of time went to %s", got)
	}
	d.now = today
	d.restart()
	d.mustRefresh()
}

// TestTimeFloor: who may lift the floor of time, and how far.
func TestTimeFloor(t *testing.T) {
	for name, c := range map[string]struct {
		issued time.Time
		want   time.Time // of the floor; zero: as it was
	}{
		"an hour on":            {issued: today.Add(time.Hour), want: today.Add(time.Hour)},
		"back":                  {issued: today.AddDate(0, -1, 0)},
		"beyond its own expiry": {issued: expires().Add(time.Second)},
		"in 2099":               {issued: in2099},
		"not said":              {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			d := newDevice(t, r)
			d.mustRefresh()
			before := d.versions().Time
			r.Issued = c.issued
			if c.issued.IsZero() {
				r.Timestamp.Signed.UnrecognizedFields = nil
			}
			r.Publish("timestamp")
			d.mustRefresh()
			d.restart()
			want := c.want
			if want.IsZero() {
				want = before
			}
			if got := d.versions().Time; !got.Equal(want) {
				t.Errorf("floor of time %s, want %s", got, want)
			}
		})
	}
}

// TestThiefOfTimeIsBounded: a thief of the timestamp key signs for the far
// future; a new root brings the device back.
func TestThiefOfTimeIsBounded(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	r.Timestamp.Signed.Expires = in2099.AddDate(1, 0, 0)
	r.Issued = in2099
	r.Publish("timestamp")
	d.mustRefresh()
	if got := d.versions().Time; got.After(r.Root.Signed.Expires) {
		t.Fatalf("the floor of time went to %s, beyond the root's expiry", got)
	}
}

func TestRaiseTime(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	must(t, d.client.RaiseTime(today.Add(48*time.Hour)))
	d.restart()
	if got := d.client.TrustedTime(); !got.Equal(today.Add(48 * time.Hour)) {
		t.Errorf("trusted time %s", got)
	}
	must(t, d.client.RaiseTime(in2099))
	if got := d.client.TrustedTime(); !got.Equal(today.Add(48 * time.Hour)) {
		t.Errorf("trusted time %s after 2099 was offered", got)
	}
	must(t, d.client.RaiseTime(in1970))
	if got := d.client.TrustedTime(); !got.Equal(today.Add(48 * time.Hour)) {
		t.Errorf("trusted time %s after 1970 was offered", got)
	}
}

// TestTimeStandsStillInARefresh: the clock leaps between two requests.
func TestTimeStandsStillInARefresh(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	calls := 0
	d.config.Clock = func() time.Time {
		if calls++; calls > 1 {
			return in2099
		}
		return today
	}
	d.restart()
	calls = 0
	if err := d.client.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
}
