package conduct

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/simulator/network"
)

// hostiles are strangers who harass the device port: they have no identity, and do not keep to any protocol.
type hostiles struct {
	net     *network.Exchange
	address string
	seed    uint64
	ctx     context.Context
	end     func() // waits for all
	done    sync.WaitGroup
}

// hostilePace is the time between two attempts of one stranger.
const hostilePace = 50 * time.Millisecond

func newHostiles(x *network.Exchange, address string, seed uint64) *hostiles {
	h := &hostiles{net: x, address: address, seed: seed}
	ctx, cancel := context.WithCancel(context.Background())
	h.ctx, h.end = ctx, func() { cancel(); h.done.Wait() }
	return h
}

// come lets n more come.
func (h *hostiles) come(n int) {
	for i := range n {
		h.done.Go(func() {
			dice := rand.New(rand.NewPCG(h.seed, uint64(i)+1000))
			for h.ctx.Err() == nil {
				h.harass(dice.IntN(len(tricks)))
				select {
				case <-h.ctx.Done():
				case <-time.After(hostilePace):
				}
			}
		})
	}
}

// harass tries one trick, for a second at most.
func (h *hostiles) harass(trick int) {
	ctx, cancel := context.WithTimeout(h.ctx, time.Second)
	defer cancel()
	c, err := h.net.Dial(ctx, nil, h.address)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	tricks[trick](c)
}

// tricks are what they do with a connection. That it goes wrong is expected.
var tricks = []func(net.Conn){
	func(net.Conn) {}, // connect, and leave
	func(c net.Conn) { say(c, strings.Repeat("\xff\x00garbage", 500)) },
	func(c net.Conn) { say(c, "\x16\x03\x01\x40\x00\x01") }, // a ClientHello that never goes on
	func(c net.Conn) { say(secure(c, "http/1.1"), "GET /v1/direction HTTP/1.1\r\nHost: x\r\n\r\n") },
	func(c net.Conn) {
		say(secure(c, "http/1.1"), "POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{\"claim\":\"guess\"}")
	},
	func(c net.Conn) {
		say(secure(c, "http/1.1"), "GET /blobs/../../state/service/operator.token HTTP/1.1\r\nHost: x\r\n\r\n")
	},
	func(c net.Conn) { say(secure(c, "mqtt"), "\x10\xff\xff\xff\x7f\x00\x04MQTT\x05") }, // a CONNECT of 256 MiB
	func(c net.Conn) { say(secure(c, "mqtt"), "\x30\x05\x00\x01afoo") },                 // PUBLISH before CONNECT
}

// secure makes a TLS client that believes anybody: it is after the service, not afraid of it.
func secure(c net.Conn, protocol string) net.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
}

func say(c net.Conn, text string) {
	if _, err := io.WriteString(c, text); err == nil {
		_, _ = io.Copy(io.Discard, c)
	}
}
