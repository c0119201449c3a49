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
// the new one, and either works.
func (l *loop) keepCertificate(ctx context.Context, u *uplink) {
	share, failures, asked, longest := l.share(), 0, time.Duration(0), max(renewEvery, l.o.Idle)
	for ctx.Err() == nil {
		wait, err := l.renewIn(share)
		if failures > 0 {
			wait = max(wait, l.o.Retry.wait(failures, l.o.Rand), asked)
		}
		if sleep(ctx, min(wait, longest)); wait > longest || ctx.Err() != nil {
			continue
		}
		if err == nil {
			err = l.renewCertificate(ctx, u)
		}
		failures, asked = failures+1, retryAfter(err)
		if err == nil {
			share, failures = l.share(), 0
		}
		l.send(ctx, func() { l.renewal(err) })
	}
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
