package service

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/remote"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Service is a service that holds its ports.
type Service struct {
	Config
	dir      string
	lock     *durable.Lock
	store    *store.Store
	director *director.Director
	broker   *broker.Broker // nil without one
	remote   *remote.Client // nil without a broker beside the service
	ca       *pki.Authority
	metrics  *metrics
	enrolls  *addressLimits
	refusals *refusals
	sealer   sealer

	tls      *tls.Config
	devices  net.Listener
	operator net.Listener
	closing  sync.Once
}

// New opens the state folder of c.Repo and both ports. Call Run, or Close.
func New(ctx context.Context, c Config) (_ *Service, err error) {
	c.Limits = c.Limits.withDefaults()
	s := &Service{Config: c, dir: StateDir(c.Repo.Dir()), enrolls: newAddressLimits(c.Limits.EnrollRate, c.Clock)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, step := range []func(context.Context) error{s.openState, s.openAccess, s.openDirector, s.openAudit, s.openTLS, s.openPorts, s.openBroker} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("starting the service: %w", err)
		}
	}
	s.metrics = newMetrics(s)
	return s, nil
}

func (s *Service) openState(ctx context.Context) (err error) {
	if err := durable.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.lock, err = durable.TryLock(filepath.Join(s.dir, "lock")); err != nil {
		return fmt.Errorf("another service runs on this repository: %w", err)
	}
	if err := durable.SweepTemps(s.dir); err != nil {
		return err
	}
	s.store, err = store.Open(ctx, cmp.Or(s.Database, filepath.Join(s.dir, "fairlead.db")), store.Options{MaxBytes: s.Limits.Database, Node: s.presence()})
	if err != nil {
		return err
	}
	s.refusals = newRefusals(s.store, s.Clock, s.Log)
	if s.MQTT != nil && s.Database != "" {
		return nil // another director may know better who is there
	}
	return s.store.Update(ctx, func(tx *store.Tx) error { return tx.AllOffline() })
}

// presence names the node under which the database keeps who is connected: each service has its own connections, but for
// those at a broker beside them, of which any service may hear.
func (s *Service) presence() string {
	if s.MQTT != nil {
		return "mqtt"
	}
	return s.Node
}

func (s *Service) openDirector(ctx context.Context) (err error) {
	key, err := OpenKeyFile(s.Repo.Dir(), s.KeyFile)
	if err != nil {
		return err
	}
	if s.ca, err = pki.Open(filepath.Join(s.dir, "ca"), s.Clock); err != nil {
		return err
	}
	s.director, err = director.New(ctx, director.Config{Store: s.store, CA: s.ca, Releases: releases{s.Repo},
		Seal: key, SeenFile: GenerationFile(s.Repo.Dir()),
		Node: s.Node, Keys: filepath.Join(s.dir, "keys"), Clock: s.Clock, Log: s.Log, Look: s.Limits.Look})
	return err
}

func (s *Service) openTLS(context.Context) error {
	cert, err := s.certificate()
	if err != nil {
		return err
	}
	s.tls = &tls.Config{
		Certificates: []tls.Certificate{*cert},
		MinVersion:   tls.VersionTLS12,
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    s.ca.Devices(),
		NextProtos:   []string{"http/1.1"},
		Time:         s.Clock,
	}
	if !s.NoBroker && s.MQTT == nil {
		s.tls.NextProtos = []string{alpnMQTT, "http/1.1"}
	}
	return nil
}

func (s *Service) certificate() (*tls.Certificate, error) {
	if s.TLSCert != "" || s.TLSKey != "" {
		cert, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("loading the server certificate (--tls-cert and --tls-key belong together): %w", err)
		}
		return &cert, nil
	}
	return s.ca.Server(append([]string{"localhost", "127.0.0.1", "::1"}, s.Names...))
}

func (s *Service) openPorts(ctx context.Context) (err error) {
	if s.devices, err = port(ctx, s.Devices, s.Listen); err != nil {
		return fmt.Errorf("opening the device port: %w", err)
	}
	if s.operator, err = port(ctx, s.Operators, s.Operator); err != nil {
		return fmt.Errorf("opening the operator port: %w", err)
	}
	return durable.WriteFile(filepath.Join(s.dir, AddrFile), []byte("http://"+s.operator.Addr().String()+"\n"), 0o644)
}

// port is the one that is open, or else a new one.
func port(ctx context.Context, open net.Listener, address string) (net.Listener, error) {
	if open != nil {
		return open, nil
	}
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

func (s *Service) openBroker(context.Context) (err error) {
	if s.MQTT != nil {
		c := *s.MQTT
		c.Backend, c.Log, c.Client = s.director, s.Log, cmp.Or(c.Client, "fairlead-"+rand.Text())
		s.remote = remote.New(c)
		s.director.OnDirection(s.remote.Push)
		return nil
	}
	if s.NoBroker {
		return nil
	}
	s.broker, err = broker.New(broker.Config{Backend: measured{s.director, s}, Log: s.Log, MaxClients: s.Limits.Connections, Pace: newPacer(s.Limits.AcceptRate).wait,
		ConnectTimeout: s.Limits.Handshake})
	if err == nil {
		s.director.OnDirection(s.broker.Push)
		s.director.OnWithdrawn(s.broker.Kick)
	}
	return err
}

// Addr is the address of the device port.
func (s *Service) Addr() net.Addr { return s.devices.Addr() }

// OperatorAddr is the address of the operator port.
func (s *Service) OperatorAddr() net.Addr { return s.operator.Addr() }

// ServerCA is the certificate, in PEM, by which devices know this service; nil if its
// certificate comes from elsewhere.
func (s *Service) ServerCA() []byte {
	if s.TLSCert != "" {
		return nil
	}
	return s.ca.ServerAuthority()
}

// reissueEvery is how often directions are looked through for those that age.
const reissueEvery = time.Minute

// Run serves until ctx ends, then drains and closes. It returns nil for an ordinary end.
func (s *Service) Run(ctx context.Context) error {
	run, stop := context.WithCancel(ctx)
	defer stop()
	web := newWeb(s)
	g, run := errgroup.WithContext(run)
	for what, f := range map[string]func() error{
		"device port":   func() error { return s.accept(run, web) },
		"web server":    func() error { return web.serve() },
		"operator port": func() error { return web.operate(s.operator) },
		"renewing":      func() error { return s.Repo.RenewLoop(run, s.Limits.Look) },
		"directions":    func() error { return s.director.ReissueLoop(run, s.Limits.look(reissueEvery)) },
		"rollouts":      func() error { return s.director.RolloutLoop(run) },
		"keeping":       func() error { return s.keep(run) },
		"audit log":     func() error { return s.auditLoop(run) },
		"broker":        func() error { return s.speak(run) },
		"end":           func() error { <-run.Done(); s.drain(web); return nil },
	} {
		g.Go(func() error {
			if err := f(); err != nil && run.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	s.Log.Info("serving", "devices", s.Addr().String(), "operators", s.OperatorAddr().String(), "broker", s.broker != nil || s.remote != nil)
	err := g.Wait()
	s.endAudit()
	return errors.Join(err, s.Close())
}

// speak keeps up the connection to the broker beside the service, if there is one.
func (s *Service) speak(ctx context.Context) error {
	if s.remote == nil {
		return nil
	}
	return s.remote.Run(ctx)
}

// drain lets what runs come to its end.
func (s *Service) drain(web *web) {
	s.Log.Info("draining", "over", s.Limits.Drain)
	s.devices.Close()
	ctx, cancel := context.WithTimeout(context.Background(), s.Limits.Drain+10*time.Second)
	defer cancel()
	if s.broker != nil {
		s.broker.Drain(ctx, s.Limits.Drain)
	}
	web.shutdown(ctx)
}

// Close releases what New has opened. Run does it too; a second call does nothing.
func (s *Service) Close() error {
	var errs []error
	s.closing.Do(func() {
		if s.broker != nil {
			errs = append(errs, s.broker.Close())
		}
		for _, ln := range []net.Listener{s.devices, s.operator} {
			if ln != nil {
				ln.Close() // may be closed already
			}
		}
		if s.store != nil {
			errs = append(errs, s.store.Close())
		}
		if s.lock != nil {
			errs = append(errs, s.lock.Unlock())
		}
	})
	return errors.Join(errs...)
}
