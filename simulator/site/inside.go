package site

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/simulator/network"
	"github.com/fairlead/fairlead/tufrepo/service"
)

// inside is a service in this process.
type inside struct {
	exchange *network.Exchange
	open     [2]net.Listener // of devices, of operators
	end      context.CancelFunc
	done     chan struct{} // closed when it has ended
	err      error         // of its end
	said     ready
}

// killedDrain is how long a service that was killed goes on to end connections that are gone already.
const killedDrain = time.Millisecond

func (s *Site) startInside(ctx context.Context, o order) (_ running, err error) {
	p := &inside{exchange: s.o.Exchange, done: make(chan struct{})}
	log, err := os.OpenFile(filepath.Join(s.dir, "service.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	var opened *service.Service
	if p.open[0], err = s.o.Exchange.ListenDevices(o.Listen); err == nil {
		p.open[1], err = s.o.Exchange.Listen(ctx, "127.0.0.1:0")
	}
	if err == nil {
		opened, err = o.open(ctx, log, service.Config{Devices: p.open[0], Operators: p.open[1], Limits: service.Limits{Drain: killedDrain, Look: s.o.Look}})
	}
	if err != nil {
		return nil, errors.Join(err, p.close(), log.Close())
	}
	run, end := context.WithCancel(context.WithoutCancel(ctx))
	p.end, p.said = end, addresses(opened)
	go func() {
		defer close(p.done)
		p.err = errors.Join(opened.Run(run), log.Close())
	}()
	return p, nil
}

func (p *inside) close() error {
	var errs []error
	for _, l := range p.open {
		if l != nil {
			errs = append(errs, p.exchange.Kill(l))
		}
	}
	return errors.Join(errs...)
}

// kill ends all connections at once, without a word; what the service has begun to store it may still store.
func (p *inside) kill() error {
	err := p.close()
	_ = p.stop() // it has lost its ports
	return err
}

func (p *inside) stop() error {
	p.end()
	<-p.done
	return p.err
}

func (p *inside) pid() int     { return 0 }
func (p *inside) ports() ready { return p.said }
