package broker

import (
	"context"
	"errors"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
)

// maxFilters is the number of filters in one SUBSCRIBE or UNSUBSCRIBE.
const maxFilters = 8

// hook is everything that the engine asks.
type hook struct {
	mqtt.HookBase
	b *Broker
}

func (*hook) ID() string { return "fairlead" }

func (*hook) Provides(what byte) bool {
	switch what {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnACLCheck,
		mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnSubscribed, mqtt.OnPacketProcessed, mqtt.OnUnsubscribed, mqtt.OnPublish, mqtt.OnWill:
		return true
	}
	return false
}

// sessionOf is the session of a connection; the engine's own client has none.
func sessionOf(cl *mqtt.Client) *session {
	if c, ok := cl.Net.Conn.(*conn); ok {
		return c.session
	}
	return nil
}

// OnConnect judges a CONNECT. The engine answers errors of this hook with silence, so the
// CONNACK is sent here.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	if h.b.Pace != nil {
		if err := h.b.Pace(h.b.ctx); err != nil {
			return packets.ErrServerShuttingDown
		}
	}
	h.b.stats.Connects.Add(1)
	s := sessionOf(cl)
	code := s.prove(pk.Connect)
	if code == packets.CodeSuccess {
		code = judge(s.id, cl, pk)
	}
	if code != packets.CodeSuccess {
		h.b.stats.Rejected.Add(1)
		h.b.Log.Warn("connection refused", "device", s.id.Device, "remote", cl.Net.Remote, "reason", code.Reason)
		_ = h.b.mqtt.SendConnack(cl, code, false, nil) // it is refused whether it hears it or not
		return code
	}
	// The engine's flow control stalls and deadlocks; without a quota it is off.
	cl.Properties.Props.ReceiveMaximum = 0
	cl.State.Inflight.ResetSendQuota(0)
	if ka := cl.State.Keepalive; ka == 0 || ka > maxKeepAlive {
		cl.State.Keepalive, cl.State.ServerKeepalive = maxKeepAlive, true
	}
	cl.Properties.Will = mqtt.Will{}
	return nil
}

func judge(id director.Identity, cl *mqtt.Client, pk packets.Packet) packets.Code {
	switch {
	case cl.ID != id.Device:
		return packets.ErrClientIdentifierNotValid
	case pk.Properties.AuthenticationMethod != "":
		return packets.ErrBadAuthenticationMethod
	case pk.Connect.WillFlag && pk.Connect.WillTopic != wire.Topic(id.Tenant, id.Device, wire.LeafPresence):
		return packets.ErrNotAuthorized
	}
	return packets.CodeSuccess
}

// OnConnectAuthenticate: OnConnect and TLS have done it.
func (*hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnSessionEstablish is called before the engine looks for a session to resume.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) { h.b.enter(sessionOf(cl), cl) }

func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	s := sessionOf(cl)
	h.b.Log.Debug("device connected", "device", s.id.Device, "remote", cl.Net.Remote)
	h.b.tell(s.id, true)
}

// OnACLCheck allows a device its own topics, each in its own direction.
func (*hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	s := sessionOf(cl)
	if s == nil {
		return false
	}
	tenant, device, leaf, err := wire.ParseTopic(topic)
	if err != nil || tenant != s.id.Tenant || device != s.id.Device {
		return false
	}
	return write && wire.Up(leaf) || !write && wire.Down(leaf)
}

// OnPacketRead lets pass what devices have a use for. A packet that is refused here ends
// the connection.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	ok := false
	switch pk.FixedHeader.Type {
	case packets.Connect:
		ok = cl.ID == "" // a second one is not
	case packets.Publish:
		ok = pk.FixedHeader.Qos <= 1
	case packets.Puback:
		sessionOf(cl).acknowledged(pk.PacketID)
		ok = true
	case packets.Subscribe, packets.Unsubscribe:
		ok = len(pk.Filters) <= maxFilters
	case packets.Pingreq, packets.Disconnect:
		ok = true
	}
	if ok {
		return pk, nil
	}
	h.b.stats.Rejected.Add(1)
	if cl.ID != "" {
		_ = h.b.mqtt.DisconnectClient(cl, packets.ErrProtocolViolation)
	}
	return pk, packets.ErrRejectPacket
}

// OnPacketEncode completes the CONNACK, which the engine leaves silent on its limits. A
// session is never present: what a takeover found was emptied before.
func (*hook) OnPacketEncode(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack && pk.ReasonCode == 0 {
		pk.SessionPresent = false
		p := &pk.Properties
		p.MaximumPacketSize = maxPacket
		p.WildcardSubAvailableFlag, p.SharedSubAvailableFlag, p.SubIDAvailableFlag = true, true, true
	}
	return pk
}

// OnSubscribed is called before the SUBACK is written; what it finds is delivered after.
func (*hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	s := sessionOf(cl)
	for i, sub := range pk.Filters {
		_, _, leaf, err := wire.ParseTopic(sub.Filter)
		switch {
		case err != nil || codes[i] > 1:
		case leaf == wire.LeafDirection:
			s.granted(sub)
		case leaf == wire.LeafCmd:
			s.listen(true)
		}
	}
}

// OnPacketProcessed is called after the SUBACK is written.
func (*hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, err error) {
	if pk.FixedHeader.Type == packets.Subscribe && err == nil {
		sessionOf(cl).subscribed()
	}
}

func (*hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	s := sessionOf(cl)
	for _, sub := range pk.Filters {
		_, _, leaf, err := wire.ParseTopic(sub.Filter)
		switch {
		case err != nil:
		case leaf == wire.LeafDirection:
			s.unsubscribe()
		case leaf == wire.LeafCmd:
			s.listen(false)
		}
	}
}

// OnPublish stores what a device says. The engine wants bare Codes as errors: QoS 1 gets
// one in its PUBACK, QoS 0 has no answer. CodeSuccessIgnore is success without retaining
// or forwarding.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	s := sessionOf(cl)
	_, _, leaf, err := wire.ParseTopic(pk.TopicName)
	if err != nil {
		return pk, packets.ErrTopicNameInvalid
	}
	ctx, cancel := context.WithTimeout(h.b.ctx, backendTimeout)
	defer cancel()
	err = errLimited
	if s.may(leaf) {
		err = h.b.Backend.Message(ctx, s.id, leaf, pk.Payload)
	}
	if err == nil && leaf == wire.LeafReported {
		s.reported(ctx)
	}
	if err == nil {
		h.b.stats.Received.Add(1)
		return pk, packets.CodeSuccessIgnore
	}
	h.b.stats.Rejected.Add(1)
	h.b.Log.Warn("message is not taken", "device", s.id.Device, "leaf", leaf, "error", err)
	if pk.FixedHeader.Qos == 0 {
		return pk, packets.ErrRejectPacket
	}
	return pk, codeFor(err)
}

// errLimited is no refusal for good: the device sends it again when it is switched on.
var errLimited = errors.New("the cloud connection of the device is switched off: switch it on at the device, with fairlead-agent online")

func codeFor(err error) packets.Code {
	var e *director.Error
	if errors.As(err, &e) && e.Code == wire.CodeBadRequest {
		return packets.ErrPayloadFormatInvalid
	}
	return packets.ErrQuotaExceeded
}

// OnWill is never reached, since wills are dropped at CONNECT; if it is, nothing is sent.
func (*hook) OnWill(*mqtt.Client, mqtt.Will) (mqtt.Will, error) { return mqtt.Will{}, nil }
