package link

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// Link is the connection. Its methods are safe for concurrent use, before, during and after
// Run.
type Link struct {
	cfg     Config
	dial    *dialer
	http    *http.Client
	roads   *roads // of http
	api     *api
	pending pending
	wake    chan struct{}

	mu     sync.Mutex
	poll   bool // asked for by Poll
	status Status
}

// Status is for people.
type Status struct {
	Transport string    // that reaches the service, or ""
	Since     time.Time // of Transport, in trusted time
	LastError string    // why MQTT or HTTPS failed the last time, "" after a success
	Trouble   []string  // wire.Trouble constants
}

// New checks c and makes a link that does nothing yet.
func New(c Config) (*Link, error) {
	c = c.withDefaults()
	d, err := newDialer(c.Network, c.Certificate)
	if err == nil {
		err = cmp.Or(c.check(), d.setBroker(c.Broker))
	}
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{cfg: c, dial: d, wake: make(chan struct{}, 1)}
	t := &roads{dial: d}
	l.http, l.roads = &http.Client{Transport: t}, t
	l.api = newAPI(d, t, c.Timing.Answer, c.Now)
	return l, nil
}

// HTTPClient goes the same way to the service as the link, with the device's certificate,
// and shares its connections. It works also before Run, and while the link is disabled it
// makes no connection. It follows redirects; its user limits time and size.
func (l *Link) HTTPClient() *http.Client {
	if l.cfg.Disabled {
		return &http.Client{Transport: disabled{}}
	}
	return l.http
}

// Report replaces what the device says of itself. Link is filled in here.
func (l *Link) Report(r wire.Reported) {
	l.pending.report(r)
	l.nudge()
}

// Progress may be called as often as one likes.
func (l *Link) Progress(p wire.Progress) {
	l.pending.setProgress(p)
	l.nudge()
}

// Reply answers a command.
func (l *Link) Reply(r wire.Reply) {
	l.pending.reply(r)
	l.nudge()
}

// Poll asks for the direction over HTTPS soon; the Handler gets it if it is new.
func (l *Link) Poll() {
	l.mu.Lock()
	l.poll = true
	l.mu.Unlock()
	l.nudge()
}

// Direction asks once for the direction, without Run. nil means that the service has none
// for this device. Errors are of type *[Error].
func (l *Link) Direction(ctx context.Context) ([]byte, error) {
	if l.cfg.Disabled {
		return nil, errDisabled
	}
	raw, _, err := l.api.direction(ctx, "")
	return raw, err
}

// Status says how the link is now.
func (l *Link) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Trouble = slices.Clone(s.Trouble)
	return s
}

// nudge makes Run look again at everything.
func (l *Link) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

var errDisabled = &Error{Class: ClassUnavailable, Err: fmt.Errorf("the cloud connection of this device is switched off")}

// disabled makes no connection.
type disabled struct{}

func (disabled) RoundTrip(*http.Request) (*http.Response, error) { return nil, errDisabled }
