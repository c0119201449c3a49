package site

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/service"
)

// childEnv holds an order, in JSON, in the environment of a child.
const childEnv = "FAIRLEAD_SIM_SERVICE"

// order is what a child is to serve.
type order struct {
	Repo       string  `json:"repo"`
	Listen     string  `json:"listen"`
	AcceptRate float64 `json:"accept_rate"`
	NoBroker   bool    `json:"no_broker"`
}

// ready is what a child says on its standard output when its ports are open.
type ready struct {
	Devices   string `json:"devices"`
	Operators string `json:"operators"`
}

// Child serves, and ends the program, where it was started to be a service. Otherwise it returns at once.
func Child() {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, "simulated service:", err)
		os.Exit(1)
	}
	// A terminal's interrupt goes to the whole group: the simulator says when the service ends.
	signal.Ignore(os.Interrupt)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := serve(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulated service:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(ctx context.Context, o order) error {
	s, err := o.open(ctx, os.Stderr, service.Config{})
	if err != nil {
		return err
	}
	said, err := json.Marshal(addresses(s))
	if err != nil {
		return err
	}
	fmt.Println(string(said))
	return s.Run(ctx)
}

func addresses(s *service.Service) ready {
	return ready{s.Addr().String(), "http://" + s.OperatorAddr().String()}
}

// drain is over which a service ends its connections.
const drain = 500 * time.Millisecond

// open opens what is ordered; c has what is not in an order.
func (o order) open(ctx context.Context, log io.Writer, c service.Config) (*service.Service, error) {
	c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	repo, err := tufrepo.Open(o.Repo, tufrepo.Options{Log: c.Log})
	if err != nil {
		return nil, err
	}
	c.Repo, c.Listen, c.Operator, c.Clock, c.NoBroker = repo, o.Listen, "127.0.0.1:0", time.Now, o.NoBroker
	c.Limits.AcceptRate, c.Limits.Connections, c.Limits.Drain = o.AcceptRate, 100_000, cmp.Or(c.Limits.Drain, drain)
	return service.New(ctx, c)
}
