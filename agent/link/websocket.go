package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/gorilla/websocket"
)

// dialWebSocket opens GET /mqtt of the service.
func (d *dialer) dialWebSocket(ctx context.Context, now time.Time) (net.Conn, error) {
	ws := websocket.Dialer{
		NetDialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.dialTLS(ctx, "http/1.1")
		},
		Subprotocols:    []string{wire.Subprotocol},
		ReadBufferSize:  1 << 10,
		WriteBufferSize: 1 << 10,
	}
	u := url.URL{Scheme: "wss", Host: d.service.Host, Path: wire.PathMQTT}
	conn, resp, err := ws.DialContext(ctx, u.String(), nil)
	if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
		return nil, refusedUpgrade(resp, now)
	}
	if err != nil {
		return nil, err
	}
	if conn.Subprotocol() != wire.Subprotocol {
		conn.Close()
		return nil, errors.New("the service's WebSocket does not speak MQTT")
	}
	conn.SetReadLimit(maxPacket + 5)
	return &wsConn{Conn: conn}, nil
}

// refusedUpgrade judges the answer of a service that would not talk WebSocket.
func refusedUpgrade(resp *http.Response, now time.Time) error {
	e := &Error{Class: classOf(resp.StatusCode, ""), After: retryAfter(resp.Header, now),
		Err: fmt.Errorf("the service refused a WebSocket: %s", resp.Status)}
	if code := resp.StatusCode; code/100 == 2 || code/100 == 3 {
		e.Class = ClassCaptive
	}
	return e
}

// wsConn is the stream of bytes in the binary messages of a WebSocket.
type wsConn struct {
	*websocket.Conn
	message io.Reader // nil between two messages
}

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("the broker sent text over the WebSocket, MQTT is binary")
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if errors.Is(err, io.EOF) {
			c.message = nil
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *wsConn) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline may be called beside a Write, unlike the WebSocket's own SetWriteDeadline.
func (c *wsConn) SetDeadline(t time.Time) error { return c.NetConn().SetDeadline(t) }
