package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/fairlead/fairlead/agent/wire"
)

// errUnwanted means that the broker will never take this message.
var errUnwanted = errors.New("the broker refuses the message for what it is")

// mqttConn is one connection, from CONNECT to its loss.
type mqttConn struct {
	session    *session
	transport  string
	nonce      string
	since      time.Time
	ctx        context.Context // ends with the connection
	cancel     context.CancelFunc
	raw        net.Conn
	unanswered atomic.Int32 // publishes
}

// close drops the connection; another one follows.
func (c *mqttConn) close() { c.raw.Close() }

// with ends when ctx does or the connection. The library would wait beyond the connection.
func (c *mqttConn) with(ctx context.Context) (context.Context, func()) {
	both, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, cancel)
	return both, func() { stop(); cancel() }
}

// publish sends a message with QoS 1 and waits until the broker has it. A broker that does
// not answer loses the connection.
func (c *mqttConn) publish(ctx context.Context, leaf string, retain bool, payload []byte) error {
	waiting, stop := c.with(ctx)
	defer stop()
	c.unanswered.Add(1)
	resp, err := c.session.keeper.publish(waiting, &paho.Publish{QoS: 1, Retain: retain,
		Topic: c.session.topic(leaf), Payload: payload, Properties: &paho.PublishProperties{ContentType: "application/json"}})
	if resp == nil && err != nil {
		if waiting.Err() == nil {
			c.close()
		}
		return fmt.Errorf("publish %s: %w", leaf, err)
	}
	c.unanswered.Add(-1)
	if resp.ReasonCode < 0x80 {
		return nil
	}
	err = fmt.Errorf("publish %s: the broker answered 0x%02x", leaf, resp.ReasonCode)
	switch resp.ReasonCode {
	case packets.PubackPayloadFormatInvalid, packets.PubackTopicNameInvalid:
		err = fmt.Errorf("%w: %w", errUnwanted, err)
	}
	return err
}

// hint sends a message with QoS 0, which may be lost.
func (c *mqttConn) hint(ctx context.Context, leaf string, payload []byte, expiry time.Duration) error {
	waiting, stop := c.with(ctx)
	defer stop()
	seconds := uint32(expiry / time.Second)
	_, err := c.session.keeper.publish(waiting, &paho.Publish{Topic: c.session.topic(leaf), Payload: payload,
		Properties: &paho.PublishProperties{ContentType: "application/json", MessageExpiry: &seconds}})
	return err
}

// subscribe asks for what comes down. The broker sends the retained direction at once.
func (c *mqttConn) subscribe(ctx context.Context) error {
	waiting, stop := c.with(ctx)
	defer stop()
	s := c.session
	got, err := s.keeper.subscribe(waiting, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: s.topic(wire.LeafDirection), QoS: 1}, {Topic: s.topic(wire.LeafCmd), QoS: 1}}})
	if err == nil && len(got.Reasons) != 2 {
		err = errors.New("the broker's answer does not match")
	}
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// present publishes that the device is there, or goes.
func (c *mqttConn) present(ctx context.Context, online bool) error {
	payload, err := wire.Encode(wire.Presence{Schema: wire.Schema, Online: online, Nonce: c.nonce, Time: c.session.cfg.Now().UTC()})
	if err != nil {
		return err
	}
	return c.publish(ctx, wire.LeafPresence, true, payload)
}
