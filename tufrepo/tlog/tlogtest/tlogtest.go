// Package tlogtest makes logs and witnesses for tests: the real ones, with keys
// that are made on the spot.
package tlogtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logdir"
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
	"github.com/fairlead/fairlead/tufrepo/tlog/witness"
)

// World is a log's key, and witnesses that run and know it.
type World struct {
	Origin, Skey, Vkey string
	Witnesses          []*Witness
}

// Witness is a witness that runs.
type Witness struct {
	Name, URL, Vkey string
	Server          *httptest.Server
	Config          witness.Config
	*witness.Witness
}

// New makes a key for the log, and starts so many witnesses.
func New(t testing.TB, origin string, witnesses int) *World {
	t.Helper()
	skey, err := logkey.New(origin)
	if err != nil {
		t.Fatal(err)
	}
	return WithKey(t, skey, witnesses)
}

// WithKey is New for a log that has a key.
func WithKey(t testing.TB, skey string, witnesses int) *World {
	t.Helper()
	vkey, err := logkey.Public(skey)
	if err != nil {
		t.Fatal(err)
	}
	origin, _, _ := strings.Cut(vkey, "+")
	w := &World{Origin: origin, Skey: skey, Vkey: vkey}
	for i := range witnesses {
		w.Witnesses = append(w.Witnesses, w.start(t, fmt.Sprintf("w%d", i)))
	}
	return w
}

func (w *World) start(t testing.TB, name string) *Witness {
	t.Helper()
	skey, err := logkey.New(name + ".example.net/witness")
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := logkey.Witness(skey)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := tlog.ParsePolicy([]byte("log " + w.Vkey + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := witness.Config{Dir: t.TempDir(), Key: skey, Logs: logs.Logs, Log: slog.New(slog.DiscardHandler)}
	one := &Witness{Name: name, Vkey: vkey, Config: c}
	one.Run(t)
	return one
}

// Run starts the witness, or starts it again.
func (w *Witness) Run(t testing.TB) {
	t.Helper()
	var err error
	if w.Witness, err = witness.Open(w.Config); err != nil {
		t.Fatal(err)
	}
	w.Server = httptest.NewServer(w.Witness)
	w.URL = w.Server.URL
	t.Cleanup(w.Stop)
}

// RunAt starts the witness again at the address that it had.
func (w *Witness) RunAt(t testing.TB, address string) {
	t.Helper()
	var err error
	if w.Witness, err = witness.Open(w.Config); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	w.Server = httptest.NewUnstartedServer(w.Witness)
	w.Server.Listener.Close()
	w.Server.Listener = listener
	w.Server.Start()
	w.URL = w.Server.URL
	t.Cleanup(w.Stop)
}

// Stop ends the witness.
func (w *Witness) Stop() {
	w.Server.Close()
	_ = w.Witness.Close()
}

// Policy believes the log, and wants need of the witnesses.
func (w *World) Policy(need int) string {
	text, names := "log "+w.Vkey+"\n", []string{}
	for _, one := range w.Witnesses {
		text += "witness " + one.Name + " " + one.Vkey + " " + one.URL + "\n"
		names = append(names, one.Name)
	}
	if need == 0 {
		return text + "quorum none\n"
	}
	return text + fmt.Sprintf("group g %d %s\nquorum g\n", need, strings.Join(names, " "))
}

// Parse is tlog.ParsePolicy.
func Parse(t testing.TB, text string) *tlog.Policy {
	t.Helper()
	p, err := tlog.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Open opens the log in dir.
func (w *World) Open(t testing.TB, dir string) *logdir.Log {
	t.Helper()
	l, err := logdir.Open(dir, w.Skey)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Prove adds entry to the log, has the checkpoint cosigned, and makes the proof.
func (w *World) Prove(t testing.TB, l *logdir.Log, policy string, entry []byte) []byte {
	t.Helper()
	ctx := context.Background()
	index, err := l.Add(ctx, [][]byte{entry})
	if err != nil {
		t.Fatal(err)
	}
	newest, err := l.Own(ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := witness.Collector{Consistency: l.Consistency}.Collect(ctx, Parse(t, policy), newest.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	newest.Bytes = raw
	proof, err := l.Prove(ctx, index[0], newest)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}
