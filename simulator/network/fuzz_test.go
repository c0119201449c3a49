package network

import (
	"testing"
	"time"
)

// FuzzHello: whatever a client says first, nothing breaks, and who is let in has named a protocol.
func FuzzHello(f *testing.F) {
	f.Add([]byte("\x04mqtt"))
	f.Add([]byte("\x08http/1.1\x30\x00"))
	f.Add([]byte("\x00"))
	f.Add([]byte("\xffm"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || len(body) > maxPlainHello {
			return // welcome refuses them
		}
		state, err := readHello(body, time.Unix(1_800_000_000, 0))
		if err == nil && (state.NegotiatedProtocol == "" || len(body) > 1+int(body[0]) && len(state.PeerCertificates) != 1) {
			t.Errorf("%x: let in as %q with %d certificates", body, state.NegotiatedProtocol, len(state.PeerCertificates))
		}
	})
}
