package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// port is where a run tells metrics and takes events.
type port struct {
	address string
	server  *http.Server
	mu      sync.Mutex
	last    report.Sample
}

// listen opens the port. Events that come are checked against the scenario.
func listen(ctx context.Context, address string, s *scenario.Scenario, events chan<- scenario.Event) (*port, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: --listen %s: %w", errUsage, address, err)
	}
	p := &port{address: l.Addr().String()}
	registry := prometheus.NewRegistry()
	registry.MustRegister(p)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("POST /event", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, scenario.MaxFile))
		var e scenario.Event
		if err == nil {
			e, err = s.ParseEvent(b)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case events <- e:
			fmt.Fprintln(w, e.Words())
		case <-time.After(5 * time.Second):
			http.Error(w, "the fleet is not up yet, or the run is over: ask again", http.StatusConflict)
		}
	})
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = p.server.Serve(l) }()
	return p, nil
}

func (p *port) close() { _ = p.server.Close() }

func (p *port) sampled(all []report.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = all[len(all)-1]
}

var unitsDesc = prometheus.NewDesc("fairlead_sim_units", "Units by the state of their update.", []string{"state"}, nil)

// gauges are the figures of a sample by the name of their metric.
func gauges(s report.Sample) map[string]float64 {
	return map[string]float64{
		"fairlead_sim_received_bytes_total": float64(s.Received), "fairlead_sim_sent_bytes_total": float64(s.Sent),
		"fairlead_sim_connections_total": float64(s.Connections), "fairlead_sim_connections_open": float64(s.Open),
		"fairlead_sim_service_requests_total": s.Requests, "fairlead_sim_service_messages_total": s.Messages,
		"fairlead_sim_service_devices": s.Devices, "fairlead_sim_service_latency_seconds": s.Latency,
		"fairlead_sim_fleet_cpu_seconds_total": s.FleetCPU, "fairlead_sim_service_cpu_seconds_total": s.ServiceCPU,
		"fairlead_sim_fleet_memory_bytes": float64(s.FleetMem), "fairlead_sim_service_memory_bytes": float64(s.ServiceMem),
		"fairlead_sim_late_seconds": s.Late,
	}
}

// Describe implements prometheus.Collector: what there is shows when it is collected.
func (p *port) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (p *port) Collect(out chan<- prometheus.Metric) {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	for state, n := range last.States {
		out <- prometheus.MustNewConstMetric(unitsDesc, prometheus.GaugeValue, float64(n), state)
	}
	for name, v := range gauges(last) {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, "Of the last sample of the run.", nil, nil), kind, v)
	}
}

func injectCommand() *cli.Command {
	return &cli.Command{
		Name: "inject", Usage: "let an event happen in a run that listens", ArgsUsage: "HOST:PORT EVENT", OnUsageError: onUsageError,
		Description: "  fairlead-sim inject 127.0.0.1:9100 '{fault: {share: 10%, disk_full: true}}'\n" +
			"  fairlead-sim inject 127.0.0.1:9100 '{network: dsl, units: {share: 50%}}'\n  fairlead-sim inject 127.0.0.1:9100 '{service: kill}'",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "HOST:PORT", "EVENT")
			if err != nil {
				return err
			}
			req, err := http.NewRequestWithContext(c.Context, http.MethodPost, "http://"+args[0]+"/event", strings.NewReader(args[1]))
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return fmt.Errorf("asking the run (was it started with --listen %s?): %w", args[0], err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(io.LimitReader(resp.Body, scenario.MaxFile))
			if err == nil && resp.StatusCode != http.StatusOK {
				err = errors.New(strings.TrimSpace(string(text)))
			}
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(text)
			return err
		},
	}
}
