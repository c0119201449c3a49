package service

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/fairlead/fairlead/tufrepo/director"
)

// metrics is what /metrics tells.
type metrics struct {
	registry *prometheus.Registry
	open     atomic.Int64 // connections of the device port
	refused  *prometheus.CounterVec
	requests *prometheus.CounterVec
	ingest   *prometheus.HistogramVec
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairlead_connections_refused_total",
			Help: "Connections of the device port that were refused, by reason."}, []string{"reason"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairlead_http_requests_total",
			Help: "HTTP requests by route and status."}, []string{"route", "code"}),
		ingest: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fairlead_ingest_seconds",
			Help:    "Time from a device's message to its being on disk.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"via", "result"}),
	}
	m.registry.MustRegister(m.refused, m.requests, m.ingest, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.gauge("fairlead_connections", "Open connections of the device port.", func() float64 { return float64(m.open.Load()) })
	m.directorMetrics(s.director.Stats())
	m.gauge("fairlead_older_copy", "1 while the director runs on an older copy of its database and directs nobody.", func() float64 {
		if s.director.Older() != nil {
			return 1
		}
		return 0
	})
	m.repositoryMetrics(s)
	if s.broker != nil {
		m.brokerMetrics(s)
	}
	return m
}

func (m *metrics) gauge(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

func (m *metrics) counter(name, help string, n *atomic.Int64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) }))
}

func (m *metrics) directorMetrics(st *director.Stats) {
	m.counter("fairlead_directions_total", "Directions signed.", &st.Directions)
	m.counter("fairlead_enrolments_total", "Devices enrolled.", &st.Enrolled)
	m.counter("fairlead_events_total", "Events stored.", &st.Events)
	m.counter("fairlead_events_duplicate_total", "Events that were stored before.", &st.Duplicates)
	m.counter("fairlead_reports_refused_total", "Enrolments and messages of devices that were refused.", &st.Refused)
}

func (m *metrics) brokerMetrics(s *Service) {
	st, b := s.broker.Stats(), s.broker
	m.gauge("fairlead_mqtt_devices", "Devices connected by MQTT.", func() float64 { return float64(b.Connections()) })
	m.counter("fairlead_mqtt_connects_total", "CONNECTs that have come.", &st.Connects)
	m.counter("fairlead_mqtt_received_total", "Messages stored.", &st.Received)
	m.counter("fairlead_mqtt_rejected_total", "Connections, packets and messages refused.", &st.Rejected)
	m.counter("fairlead_mqtt_delivered_total", "Directions sent.", &st.Delivered)
	m.counter("fairlead_mqtt_acknowledged_total", "Directions acknowledged.", &st.Acknowledged)
	m.counter("fairlead_mqtt_takeovers_total", "Connections that took over from another with the same identity.", &st.Takeovers)
	m.counter("fairlead_mqtt_panics_total", "Connections ended because a packet broke the engine.", &st.Panics)
}

// repositoryMetrics are NaN where there is no timestamp.
func (m *metrics) repositoryMetrics(s *Service) {
	m.gauge("fairlead_timestamp_age_seconds", "Since the repository's timestamp was renewed.", func() float64 {
		issued, _, err := timestamp(s.Repo)
		return secondsOrNaN(s.Clock().Sub(issued), err)
	})
	m.gauge("fairlead_timestamp_left_seconds", "Until the repository's timestamp expires.", func() float64 {
		_, expires, err := timestamp(s.Repo)
		return secondsOrNaN(expires.Sub(s.Clock()), err)
	})
}

// observe notes how long it took to store something.
func (m *metrics) observe(via string, begin time.Time, err error) {
	result := "stored"
	if err != nil {
		result = "refused"
	}
	m.ingest.WithLabelValues(via, result).Observe(time.Since(begin).Seconds())
}

// measured is the director with a stopwatch.
type measured struct {
	*director.Director
	s *Service
}

func (d measured) Message(ctx context.Context, id director.Identity, leaf string, payload []byte) error {
	begin := time.Now()
	err := d.Director.Message(ctx, id, leaf, payload)
	d.s.metrics.observe("mqtt", begin, err)
	return err
}
