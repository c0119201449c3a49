package network_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/fairlead/fairlead/simulator/network"
)

// pair makes a connection through an exchange.
func pair(t *testing.T, x *network.Exchange) (client, server net.Conn, port net.Listener) {
	t.Helper()
	port, err := x.ListenDevices("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if client, err = x.Dial(t.Context(), nil, port.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = port.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server, port
}

// TestConnectionsAreConnections holds the pipe against what golang.org/x/net asks of every net.Conn.
func TestConnectionsAreConnections(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2, port := pair(t, network.NewExchange(false))
		return c1, c2, func() { c1.Close(); c2.Close(); port.Close() }, nil
	})
}

// TestKilledPortResets: what its connections have written is gone, and nobody comes in any more.
func TestKilledPortResets(t *testing.T) {
	x := network.NewExchange(false)
	client, server, port := pair(t, x)
	if _, err := server.Write([]byte("half a word")); err != nil {
		t.Fatal(err)
	}
	if err := x.Kill(port); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 100)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading: %v", err)
	}
	if _, err := client.Write([]byte("x")); err == nil {
		t.Error("writing to a service that was killed")
	}
	if _, err := x.Dial(t.Context(), nil, port.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling: %v", err)
	}
	if _, err := port.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting: %v", err)
	}
	again, err := x.ListenDevices(port.Addr().String())
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	again.Close()
}

// TestPipeTakesBytesBeforeTheyAreRead: as a socket does, so many and no more.
func TestPipeTakesBytesBeforeTheyAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, _ := pair(t, network.NewExchange(false))
		if err := client.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		n, err := client.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n < 1<<10 || n > 256<<10 || time.Since(began) != time.Hour {
			t.Errorf("%d bytes after %v: %v", n, time.Since(began), err)
		}
		client.Close()
		if got, err := io.Copy(io.Discard, server); got != int64(n) || err != nil {
			t.Errorf("read %d of %d bytes: %v", got, n, err)
		}
	})
}

// TestPlainSaysWhoComes: protocol and certificate go over, and a stranger's words are no greeting.
func TestPlainSaysWhoComes(t *testing.T) {
	x := network.NewExchange(true)
	client, server, port := pair(t, x)
	defer port.Close()
	c := x.Secure()(client, &tls.Config{NextProtos: []string{"mqtt"}})
	done := make(chan error, 1)
	go func() { done <- c.HandshakeContext(t.Context()) }()
	if err := server.(network.Secured).HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if state := server.(network.Secured).ConnectionState(); state.NegotiatedProtocol != "mqtt" || len(state.PeerCertificates) != 0 {
		t.Errorf("%+v", state)
	}
	for name, said := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\n\r\n", "empty": "\x16\x00\x00", "no protocol": "\x16\x00\x01\x00", "breaks off": "\x16\x00\x02\x04m", "no certificate": "\x16\x00\x06\x04mqttx",
	} {
		client, err := x.Dial(t.Context(), nil, port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := port.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, said); err != nil {
			t.Fatal(err)
		}
		client.Close()
		if err := server.(network.Secured).HandshakeContext(t.Context()); err == nil {
			t.Errorf("%s: it is let in as %q", name, server.(network.Secured).ConnectionState().NegotiatedProtocol)
		}
	}
}

// TestPlainDoesNotWaitForEver: a handshake ends with its context.
func TestPlainDoesNotWaitForEver(t *testing.T) {
	x := network.NewExchange(true)
	_, server, port := pair(t, x)
	defer port.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := server.(network.Secured).HandshakeContext(ctx); err == nil {
		t.Error("nobody came, and was let in")
	}
}

// TestHTTPOverAnExchange: the standard library's server and client agree with it.
func TestHTTPOverAnExchange(t *testing.T) {
	x := network.NewExchange(false)
	port, err := x.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("firmware", 1<<16)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) })}
	go server.Serve(port)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return x.Dial(ctx, nil, address)
	}}}
	resp, err := client.Get("http://" + port.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != long {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}
