package agent

import (
	"context"
	"errors"
	"time"
)

// renewEvery bounds a sleep: clocks jump, and devices sleep.
const renewEvery = time.Hour

// keepCertificate renews the device's certificate when two thirds of its life have passed,
// give or take a twentieth of it, so that devices that were made together do not come
// together. It is one file with one certificate for one key: a crash leaves the old one or
// the new one, and either works. stop returns when nothing is left of it, once ctx has ended.
func (l *loop) keepCertificate(ctx context.Context, u *uplink) (stop func()) {
	k := &renewing{loop: l, up: u, share: l.share(), longest: max(renewEvery, l.o.Idle)}
	return repeat(func() time.Duration { return k.look(ctx) }).stop
}

// renewing is the state of keepCertificate.
type renewing struct {
	*loop
	up       *uplink
	share    float64       // of its life, after which the certificate is renewed
	longest  time.Duration // between two looks
	due      bool          // this look is the one that it waited for
	failures int
	asked    time.Duration // by the service, to be left alone
	err      error         // of the certificate that the device has
}

// look renews the certificate if that is due, and says when to look again.
func (k *renewing) look(ctx context.Context) time.Duration {
	if k.due && ctx.Err() == nil {
		k.renew(ctx)
	}
	var wait time.Duration
	if wait, k.err = k.renewIn(k.share); k.failures > 0 {
		wait = max(wait, k.o.Retry.wait(k.failures, k.o.Rand), k.asked)
	}
	k.due = wait <= k.longest
	return min(wait, k.longest)
}

func (k *renewing) renew(ctx context.Context) {
	err := k.err
	if err == nil {
		err = k.renewCertificate(ctx, k.up)
	}
	k.failures, k.asked = k.failures+1, retryAfter(err)
	if err == nil {
		k.share, k.failures = k.loop.share(), 0
	}
	k.send(ctx, func() { k.renewal(err) })
}

func (l *loop) share() float64 { return 2./3 + (l.o.Rand()-.5)/10 }

// renewIn is when the certificate is to be renewed. One that nobody can read is due.
func (l *loop) renewIn(share float64) (time.Duration, error) {
	c, err := l.newest()
	if err != nil {
		return l.o.Retry.wait(1, l.o.Rand), err
	}
	at := c.from.Add(time.Duration(share * float64(c.until.Sub(c.from))))
	return max(at.Sub(l.now()), time.Duration(l.o.Rand()*float64(l.o.Retry.Min))), nil
}

// renewCertificate asks for a certificate with the one that the device has. Nothing else of
// the identity is taken from the answer: whom this device trusts does not change by the way.
func (l *loop) renewCertificate(ctx context.Context, u *uplink) error {
	id, err := l.loadIdentity()
	if err != nil {
		return err
	}
	key, err := l.loadKey()
	if err != nil {
		return err
	}
	old, err := l.newest()
	if err != nil {
		return err
	}
	got, err := u.link.Renew(ctx, key, l.enrolment(""))
	if err != nil {
		return err
	}
	id.Certificate, id.Chain, id.Expires = got.Certificate, got.Chain, got.Expires
	c, err := l.certificate(id)
	if err != nil {
		return err
	}
	if !c.until.After(old.until) {
		return errors.New("the service gave a certificate that does not last longer than the old one")
	}
	if err := l.saveIdentity(id); err != nil {
		return err
	}
	l.o.Log.Info("certificate renewed", "until", got.Expires)
	u.link.NewCertificate()
	return nil
}

// renewal is how it went, for the people.
func (l *loop) renewal(err error) {
	if t := l.m.state.Trouble; err == nil {
		if t != nil && t.Reason == Certificate {
			l.setTrouble(nil)
		}
		return
	}
	expires := ""
	if c, ownErr := l.newest(); ownErr == nil {
		expires = ", which is good until " + c.until.Format(time.RFC3339)
	}
	l.trouble(refuse(Certificate, "renew the certificate of this device%s: %w", expires, err))
}
