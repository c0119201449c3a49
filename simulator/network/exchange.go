package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// Exchange connects what is in this process, without the kernel: no sockets, no descriptors, no buffers of its own but for what
// is on its way. A nil *Exchange is the kernel's TCP.
type Exchange struct {
	plain bool
	certs certificates
	mu    sync.Mutex
	ports map[string]*exchangePort
	next  int // port number for whoever asks for any
}

// NewExchange makes one. With plain its connections are to be made secure by [Exchange.Secure], in the place of TLS.
func NewExchange(plain bool) *Exchange {
	return &Exchange{plain: plain, ports: map[string]*exchangePort{}, next: 20_000}
}

// backlog is how many connections wait to be accepted.
const backlog = 4096

// exchangePort is a net.Listener.
type exchangePort struct {
	exchange *Exchange
	address  *net.TCPAddr
	secure   bool // it accepts connections that are Secured
	waiting  chan net.Conn
	gone     chan struct{}
	once     sync.Once

	mu    sync.Mutex
	conns map[*pipeEnd]struct{}
}

// Listen opens a port; 0 for any.
func (x *Exchange) Listen(ctx context.Context, address string) (net.Listener, error) {
	if x == nil {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	}
	return x.listen(address, false)
}

// ListenDevices opens a port for devices: where the exchange is plain, its connections say themselves who comes.
func (x *Exchange) ListenDevices(address string) (net.Listener, error) {
	return x.listen(address, x.plain)
}

func (x *Exchange) listen(address string, secure bool) (net.Listener, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if a.Port == 0 {
		x.next++
		a.Port = x.next
	}
	if x.ports[a.String()] != nil {
		return nil, fmt.Errorf("listening on %s: %w", a, syscall.EADDRINUSE)
	}
	p := &exchangePort{exchange: x, address: a, secure: secure, waiting: make(chan net.Conn, backlog), gone: make(chan struct{}), conns: map[*pipeEnd]struct{}{}}
	x.ports[a.String()] = p
	return p, nil
}

// Dial connects from an address, nil for the machine's own.
func (x *Exchange) Dial(ctx context.Context, from net.Addr, address string) (net.Conn, error) {
	if x == nil {
		return (&net.Dialer{LocalAddr: from, KeepAlive: -1}).DialContext(ctx, "tcp", address)
	}
	x.mu.Lock()
	p := x.ports[address]
	x.mu.Unlock()
	if p == nil {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	if from == nil {
		from = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	}
	return p.connect(ctx, from)
}

func (p *exchangePort) connect(ctx context.Context, from net.Addr) (net.Conn, error) {
	client, server := pipe(from, p.address)
	server.closed = func() { p.forget(server) }
	p.mu.Lock()
	p.conns[server] = struct{}{}
	p.mu.Unlock()
	var accepted net.Conn = server
	if p.secure {
		accepted = &plainConn{Conn: server, certs: &p.exchange.certs}
	}
	select {
	case p.waiting <- accepted:
		return client, nil
	case <-p.gone:
		server.reset()
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case <-ctx.Done():
		server.reset()
		return nil, context.Cause(ctx)
	}
}

func (p *exchangePort) forget(c *pipeEnd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Accept implements net.Listener.
func (p *exchangePort) Accept() (net.Conn, error) {
	select {
	case <-p.gone:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (p *exchangePort) Addr() net.Addr { return p.address }

// Close implements net.Listener. Connections that were not accepted are reset.
func (p *exchangePort) Close() error {
	p.once.Do(func() {
		p.exchange.mu.Lock()
		delete(p.exchange.ports, p.address.String())
		p.exchange.mu.Unlock()
		close(p.gone)
		for {
			select {
			case c := <-p.waiting:
				c.Close()
				continue
			default:
			}
			return
		}
	})
	return nil
}

// Kill closes a port of this exchange and resets all its connections at once, as the end of a process does.
func (x *Exchange) Kill(l net.Listener) error {
	p, ok := l.(*exchangePort)
	if !ok {
		return errors.New("killing a port: it is none of this exchange")
	}
	err := p.Close()
	p.mu.Lock()
	victims := make([]*pipeEnd, 0, len(p.conns))
	for c := range p.conns {
		victims = append(victims, c)
	}
	p.mu.Unlock()
	for _, c := range victims {
		c.reset()
	}
	return err
}
