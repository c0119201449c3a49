package site

import (
	"context"
	"encoding/json"
	"fmt"
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
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	repo, err := tufrepo.Open(o.Repo, tufrepo.Options{Log: log})
	if err != nil {
		return err
	}
	s, err := service.New(ctx, service.Config{
		Repo: repo, Listen: o.Listen, Operator: "127.0.0.1:0", Clock: time.Now, Log: log, Limits: service.Limits{
			AcceptRate: o.AcceptRate, Connections: 100_000, Drain: 500 * time.Millisecond,
		},
	})
	if err != nil {
		return err
	}
	said, err := json.Marshal(ready{s.Addr().String(), "http://" + s.OperatorAddr().String()})
	if err != nil {
		return err
	}
	fmt.Println(string(said))
	return s.Run(ctx)
}
