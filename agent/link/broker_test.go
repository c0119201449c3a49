package link

import (
	"bytes"
	"log/slog"
	"slices"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fairlead/fairlead/agent/wire"
)

// startBroker begins with an empty broker, which has the direction.
func (s *service) startBroker() {
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClientWritesPending = 64
	broker := mqtt.New(&mqtt.Options{Capabilities: caps, InlineClient: true, SysTopicResendInterval: 3600,
		Logger: slog.New(slog.DiscardHandler)})
	if err := broker.AddHook(&recorder{s: s}, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := broker.Serve(); err != nil {
		s.t.Fatal(err)
	}
	s.do(func() { s.broker, s.stopped = broker, false })
	if s.direction != "" {
		s.direct(s.direction)
	}
}

func (s *service) stopBroker() {
	s.mu.Lock()
	broker := s.broker
	s.stopped = true
	s.mu.Unlock()
	s.cut()
	broker.Close()
}

// enterBroker counts a connection before the broker itself does, which it may not do while it closes.
func (s *service) enterBroker(broker *mqtt.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.broker != broker {
		return false
	}
	broker.Listeners.ClientsWg.Add(1)
	return true
}

// direct gives device d1 a direction.
func (s *service) direct(raw string) {
	s.do(func() { s.direction, s.etag = raw, `"`+raw[len(raw)-3:]+`"` })
	s.publish(wire.LeafDirection, raw, true)
}

func (s *service) publish(leaf, payload string, retain bool) {
	if err := s.broker.Publish(wire.Topic("acme", "d1", leaf), []byte(payload), retain, 1); err != nil {
		s.t.Error(err)
	}
}

// recorder is the broker's hook: who may, and what came.
type recorder struct {
	mqtt.HookBase
	s *service
}

func (r *recorder) ID() string { return "recorder" }
func (r *recorder) Provides(b byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish}, []byte{b})
}

// OnConnect works around the broker's flow control, which stalls.
func (r *recorder) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	cl.Properties.Props.ReceiveMaximum = 0
	cl.State.Inflight.ResetSendQuota(0)
	r.s.do(func() {
		r.s.connects = append(r.s.connects, time.Now())
		r.s.clean = append(r.s.clean, pk.Connect.Clean)
		r.s.wills = append(r.s.wills, cl.Properties.Will)
		r.s.keepAlive = append(r.s.keepAlive, pk.Connect.Keepalive)
	})
	return nil
}

func (r *recorder) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.denied != 0 {
		_ = r.s.broker.SendConnack(cl, packets.Code{Code: r.s.denied, Reason: "no"}, false, nil)
	}
	return r.s.denied == 0
}

// OnACLCheck allows what the service's rules allow.
func (r *recorder) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	tenant, device, leaf, err := wire.ParseTopic(topic)
	return err == nil && tenant == "acme" && device == cl.ID && wire.Up(leaf) == write
}

// OnPublish stores, then lets the broker acknowledge.
func (r *recorder) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	_, _, leaf, err := wire.ParseTopic(pk.TopicName)
	if err == nil {
		err = r.s.store(leaf, pk.Payload)
	}
	if err != nil {
		return pk, packets.ErrPayloadFormatInvalid
	}
	return pk, nil
}

func (s *service) store(leaf string, payload []byte) (err error) {
	switch leaf {
	case wire.LeafEvent:
		var e wire.Event
		if e, err = wire.DecodeEvent(payload); err == nil {
			err = s.storeEvents(e)
		}
	case wire.LeafReported:
		err = keep(s, &s.reported, payload, wire.DecodeReported)
	case wire.LeafPresence:
		err = keep(s, &s.presence, payload, wire.DecodePresence)
	case wire.LeafProgress:
		err = keep(s, &s.progress, payload, wire.DecodeProgress)
	case wire.LeafReply:
		err = keep(s, &s.replies, payload, wire.DecodeReply)
	}
	return err
}

func keep[M wire.Message](s *service, list *[]M, payload []byte, dec func([]byte) (M, error)) error {
	m, err := dec(payload)
	if err == nil {
		s.do(func() { *list = append(*list, m) })
	}
	return err
}

func (s *service) storeEvents(events ...wire.Event) (err error) {
	s.do(func() {
		for _, e := range events {
			if s.refuse != nil && s.refuse(e) {
				err = packets.ErrPayloadFormatInvalid
				return
			}
			s.arrivals++
			s.stored[eventName{e.Epoch, e.Seq}] = e
		}
	})
	return err
}

// updates lists the stored events' updates in order of their numbers.
func (s *service) updates() (out []string) {
	events := make([]wire.Event, 0, len(s.stored))
	for _, e := range s.stored {
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b wire.Event) int { return int(a.Seq - b.Seq) })
	for _, e := range events {
		out = append(out, e.Update)
	}
	return out
}
