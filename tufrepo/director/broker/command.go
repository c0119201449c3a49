package broker

import (
	"errors"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fairlead/fairlead/agent/wire"
)

// Errors of Command.
var (
	ErrAway = errors.New("the device is not connected by MQTT")
	ErrBusy = errors.New("the device has not acknowledged the command before this one")
)

// ackPatience is how long a command waits for the acknowledgement of the one before: a device may answer before it acknowledges.
const ackPatience = time.Second

// Command sends a command to a device that is connected and listens to commands. It is not kept for later. One that is not
// acknowledged when it expires ends the connection. ErrBusy after a second in which the one before is not.
func (b *Broker) Command(device string, payload []byte, expires time.Duration) error {
	b.mu.Lock()
	s := b.sessions[device]
	b.mu.Unlock()
	if s == nil {
		return ErrAway
	}
	pk, cl, before, err := s.command(payload, expires)
	if before != nil {
		select {
		case <-before:
		case <-time.After(ackPatience):
		}
		pk, cl, _, err = s.command(payload, expires)
	}
	if err != nil {
		return err
	}
	if err := cl.WritePacket(pk); err != nil {
		s.commandAcknowledged()
		return errors.Join(ErrAway, err)
	}
	return nil
}

// commandIDs are packet ids of commands, apart from those of directions.
const commandIDs = 0x8000

// command makes the packet. There is one under way at most, so that nobody's Receive Maximum is passed; before is closed when that
// one is acknowledged.
func (s *session) command(payload []byte, expires time.Duration) (pk packets.Packet, cl *mqtt.Client, before <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended || s.limited || s.mqtt == nil || !s.listens:
		return pk, nil, nil, ErrAway
	case s.commanded != nil:
		return pk, nil, s.freed, ErrBusy
	}
	s.commandID = (s.commandID+1)%commandIDs | commandIDs
	s.freed = make(chan struct{})
	s.commanded = time.AfterFunc(max(expires, time.Second), s.giveUp)
	return packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1},
		TopicName:   wire.Topic(s.id.Tenant, s.id.Device, wire.LeafCmd),
		PacketID:    s.commandID,
		Payload:     payload,
		Created:     time.Now().Unix(),
		Properties:  packets.Properties{MessageExpiryInterval: uint32(max(expires, time.Second) / time.Second)},
	}, s.mqtt, nil, nil
}

// commandAcknowledged lets the next command pass.
func (s *session) commandAcknowledged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopCommand()
}

// stopCommand is called with s.mu held.
func (s *session) stopCommand() {
	if s.commanded != nil {
		s.commanded.Stop()
		s.commanded = nil
		close(s.freed)
	}
}

// listen notes whether the device is subscribed to commands.
func (s *session) listen(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listens = yes
}
