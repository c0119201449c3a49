package service_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director/remote"
	"github.com/fairlead/fairlead/tufrepo/director/remote/remotetest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// serveOrder says how a process of its own is to serve.
type serveOrder struct {
	Repo, Listen, Database, Node string
	MQTT, MQTTCA                 string // a broker beside it, with the PEM of its authority
	Cert, Key                    []byte // for that broker
	Log                          bool   // when devices have connected, into process.log
	LogFile                      string
}

// beside makes the order one for a service at a broker beside it.
func (o serveOrder) beside(b *remotetest.Broker) serveOrder {
	pair := b.TLS("director").Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		panic(err) // it was made a moment ago
	}
	o.MQTT, o.MQTTCA, o.Cert, o.Key = b.URL.String(), string(b.PEM), pair.Certificate[0], der
	return o
}

// process is a service as a process of its own.
type process struct {
	*exec.Cmd
	address string // of the device port
	log     string
	api     api.Client
}

// process starts the service of s, and returns when it serves.
func (s *site) process(o serveOrder) *process {
	s.t.Helper()
	o.Repo = s.repo
	if o.Log {
		o.LogFile = filepath.Join(s.t.TempDir(), "connects")
	}
	text, err := json.Marshal(o)
	must(s.t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FAIRLEAD_TEST_SERVE="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	p := &process{Cmd: cmd, log: o.LogFile}
	s.t.Cleanup(p.kill)
	said := make([]byte, 64)
	n, err := out.Read(said)
	if err != nil {
		s.t.Fatal("the service did not start")
	}
	p.address = strings.TrimSpace(string(said[:n]))
	operator, err := os.ReadFile(filepath.Join(service.StateDir(s.repo), service.AddrFile))
	must(s.t, err)
	token, err := os.ReadFile(filepath.Join(service.StateDir(s.repo), service.TokenFile))
	must(s.t, err)
	p.api = api.Client{URL: strings.TrimSpace(string(operator)), Token: strings.TrimSpace(string(token))}
	return p
}

// kill ends it as kill -9 does; what is dead stays dead.
func (p *process) kill() {
	p.Process.Kill() //nolint:errcheck // it may have ended
	p.Wait()         //nolint:errcheck // as it was told
}

// serveUntilKilled is the service as a process of its own, in that process.
func serveUntilKilled(order string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	var o serveOrder
	fail(json.Unmarshal([]byte(order), &o))
	s := &site{t: new(testing.T), repo: o.Repo}
	c := s.config()
	c.Listen, c.Database, c.Node = o.Listen, o.Database, o.Node
	if o.LogFile != "" {
		f, err := os.Create(o.LogFile)
		fail(err)
		c.Log = slog.New(connects{c.Log.Handler(), f})
	}
	if o.MQTT != "" {
		broker, err := url.Parse(o.MQTT)
		fail(err)
		key, err := x509.ParsePKCS8PrivateKey(o.Key)
		fail(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(o.MQTTCA))
		c.MQTT = &remote.Config{Broker: broker, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12,
			Certificates: []tls.Certificate{{Certificate: [][]byte{o.Cert}, PrivateKey: key}}}}
	}
	srv, err := service.New(context.Background(), c)
	fail(err)
	fmt.Println(srv.Addr())
	fail(srv.Run(context.Background()))
}

// connects is a log that keeps when devices have connected.
type connects struct {
	slog.Handler
	to io.Writer
}

func (connects) Enabled(context.Context, slog.Level) bool { return true }

func (c connects) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "device connected" {
		return nil
	}
	_, err := fmt.Fprintln(c.to, r.Time.UnixNano())
	return err
}
