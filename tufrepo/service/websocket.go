package service

import (
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
)

// maxFrame bounds one WebSocket message, which may hold several MQTT packets.
const maxFrame = 128 << 10

var upgrader = websocket.Upgrader{
	HandshakeTimeout: writeTimeout,
	ReadBufferSize:   4 << 10,
	WriteBufferSize:  4 << 10,
	Subprotocols:     []string{wire.Subprotocol},
	// A browser says where it comes from, and has no business here.
	CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
	Error: func(w http.ResponseWriter, _ *http.Request, status int, err error) {
		fail(w, status, wire.CodeBadRequest, err.Error())
	},
}

// mqttOverWebSocket serves GET /mqtt for a device, which proves who it is by its certificate,
// in the header, or in the CONNECT.
func (s *Service) mqttOverWebSocket(w http.ResponseWriter, r *http.Request) {
	proof := s.proof(r.TLS, r.Header)
	if proof != nil || !websocket.IsWebSocketUpgrade(r) {
		if _, err := s.admit(r); err != nil && !director.IsOffline(err) {
			s.failWith(w, r, err)
			return
		}
	}
	if s.broker == nil {
		fail(w, http.StatusNotFound, wire.CodeNotFound, "this service has no broker: poll "+wire.PathDirection)
		return
	}
	if !slices.Contains(websocket.Subprotocols(r), wire.Subprotocol) {
		fail(w, http.StatusBadRequest, wire.CodeBadRequest, "a WebSocket with the subprotocol mqtt is expected here")
		return
	}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has been answered
	}
	ws.SetReadLimit(maxFrame)
	if err := s.serveBroker(&wsConn{Conn: ws}, r.RemoteAddr, proof); err != nil {
		s.Log.Debug("MQTT connection ended", "remote", r.RemoteAddr, "over", "websocket", "error", err)
	}
}

// wsConn is a WebSocket as a stream of bytes. Text messages end it (MQTT 5, 6.0.0-1).
type wsConn struct {
	*websocket.Conn
	message io.Reader
	writing sync.Mutex // the WebSocket takes one writer at a time, and its deadline from nobody else
}

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, net.ErrClosed
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message = nil
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *wsConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *wsConn) SetWriteDeadline(t time.Time) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

func (c *wsConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}
