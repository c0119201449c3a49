package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// uplink is the cloud connection of an enrolled device: the link, and the two repositories
// behind it.
type uplink struct {
	link     *link.Link
	source   client.Source
	repo     *client.Client
	director *client.Director
}

// openUplink opens what needs no network.
func (l *loop) openUplink(id identity) (u *uplink, err error) {
	u = &uplink{}
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	n, err := l.network()
	if err != nil {
		return u, err
	}
	if u.link, err = link.New(l.linkConfig(n, id)); err != nil {
		return u, err
	}
	base, err := url.Parse(l.cfg.Service)
	if err != nil {
		return u, err
	}
	u.source = client.HTTPSource(base, u.link.HTTPClient(), client.HTTPOptions{Clock: l.now})
	if u.repo, err = l.openRepository(u.source); err != nil {
		return u, err
	}
	u.director, err = l.openDirector(id, u.source)
	return u, err
}

func (u *uplink) close() {
	if u.link != nil {
		u.link.HTTPClient().CloseIdleConnections()
	}
	if u.repo != nil {
		_ = u.repo.Close()
	}
	if u.director != nil {
		_ = u.director.Close()
	}
}

func (s *session) openDirector(id identity, source client.Source) (*client.Director, error) {
	root := []byte(id.DirectorRoot)
	if s.cfg.DirectorRoot != "" {
		var err error
		if root, err = readRoot(s.cfg.DirectorRoot, "director_root"); err != nil {
			return nil, err
		}
	}
	d, err := client.OpenDirector(client.DirectorConfig{
		Dir: s.path(directorName), Disk: s.o.Disk, Root: root, Tenant: id.Tenant, Device: id.Device, Source: source,
		Clock: s.now, BuildTime: s.o.BuildTime, Log: s.o.Log, Roots: s.o.Roots,
	})
	if err != nil {
		return nil, fmt.Errorf("open the director's metadata: %w", err)
	}
	return d, nil
}

func (l *loop) linkConfig(n link.Network, id identity) link.Config {
	timing := l.o.Link
	timing.Poll = cmp.Or(timing.Poll, time.Duration(l.cfg.Poll))
	return link.Config{
		Network: n, Tenant: id.Tenant, Device: id.Device, Transports: l.cfg.Transports, Broker: l.cfg.Broker,
		Certificate: l.newestCertificate,
		Outbox:      l.out, Timing: timing, Rand: l.o.Rand, Log: l.o.Log,
	}
}

// connect starts the cloud connection, if there is to be one. wait returns when it is gone.
func (l *loop) connect(ctx context.Context) (wait func()) {
	if !l.enabled() {
		return func() {}
	}
	ctx, l.cut = context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			err := l.stayConnected(ctx)
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, ErrNotEnrolled) {
				l.send(ctx, func() { l.orphaned(err) })
				return
			}
			l.send(ctx, func() { l.trouble(err) })
			sleep(ctx, l.o.Retry.wait(n, l.o.Rand))
		}
	})
	return func() {
		l.cut()
		done.Wait()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// stayConnected enrols if need be, opens the uplink and runs it until ctx ends or it cannot
// go on.
//
// It waits for most of an agent's life: what takes room on the stack is done in functions that have returned.
func (l *loop) stayConnected(ctx context.Context) error {
	u, err := l.identified(ctx)
	if err != nil {
		return err
	}
	defer u.close()
	e := l.listen(ctx, u)
	defer e.stop()
	defer l.keepCertificate(ctx, u)()
	return u.link.Run(ctx, e.box)
}

// identified opens the uplink of an enrolled device, and tells the loop.
func (l *loop) identified(ctx context.Context) (*uplink, error) {
	id, err := l.loadIdentity()
	if errors.Is(err, ErrNotEnrolled) {
		id, err = l.enrolNow(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	if err := l.checkKey(id); err != nil {
		return nil, err
	}
	u, err := l.openUplink(id)
	if err != nil {
		return nil, err
	}
	current, _ := u.director.Current()
	l.send(ctx, func() { l.connected(u, current) })
	return u, nil
}

// enrolNow enrols with the claim file of the configuration; without one the device has no
// cloud.
func (l *loop) enrolNow(ctx context.Context, missing error) (identity, error) {
	if l.cfg.ClaimFile == "" {
		return identity{}, missing
	}
	claim, err := l.ReadClaim("")
	if err == nil {
		err = l.enroll(ctx, claim)
	}
	if err != nil {
		return identity{}, err
	}
	return l.loadIdentity()
}
