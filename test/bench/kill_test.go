package bench

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	killedImage = 256 << 20
	killedRate  = 12 << 20 // bytes a second, of the line
	kills       = 6
)

// BenchmarkKilledInstall kills fairlead-agent at random moments of an install over a line of 100 Mbit/s, lets the next one
// finish, and says how many bytes came through the line once more than in an install that nobody kills. What lay in
// the line's buffers at that moment, 256 KiB or so, is among them.
func BenchmarkKilledInstall(b *testing.B) {
	w := newWorld(b)
	w.publishImage(b, "1.1.0", killedImage)
	l := newThrottledLine(b, w.serve(b))
	device := 0
	install := func(killAfter time.Duration) (bytes int64, took time.Duration) {
		device++
		dir, before, start := w.device(b, device), l.bytes.Load(), time.Now()
		if killAfter > 0 {
			w.killed(b, dir, l.url, killAfter)
		}
		w.install(b, dir, l.url)
		return l.bytes.Load() - before, time.Since(start)
	}
	for done := false; b.Loop(); done = true {
		if done {
			continue
		}
		once, took := install(0)
		again, most := int64(0), int64(0)
		for range kills {
			n, _ := install(time.Duration((0.05 + 0.9*rand.Float64()) * float64(took)))
			again, most = again+n-once, max(most, n-once)
		}
		b.ReportMetric(float64(again)/kills/(1<<20), "again-MiB")
		b.ReportMetric(float64(most)/(1<<20), "most-again-MiB")
	}
	b.ReportMetric(0, "ns/op")
}

// killed runs the agent for a while.
func (w *world) killed(b *testing.B, device, url string, after time.Duration) {
	b.Helper()
	cmd := exec.Command(filepath.Join(w.bin, "fairlead-agent"), "--config", filepath.Join(device, "agent.json"), "install", url)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Signal(os.Kill)
	_ = cmd.Wait()
}

// throttledLine carries connections to a server, and what the server says at a bounded rate, through small buffers.
type throttledLine struct {
	url    string
	target string
	bytes  atomic.Int64 // from the server
	mu     sync.Mutex
	free   time.Time // when the line has carried all that it took
}

func newThrottledLine(b *testing.B, url string) *throttledLine {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	l := &throttledLine{url: "https://localhost:" + port, target: strings.Replace(strings.TrimPrefix(url, "https://"), "localhost", "127.0.0.1", 1)}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(c.(*net.TCPConn))
		}
	}()
	return l
}

func (l *throttledLine) carry(client *net.TCPConn) {
	defer client.Close()
	_ = client.SetWriteBuffer(64 << 10)
	c, err := net.Dial("tcp", l.target)
	if err != nil {
		return // the client sees its connection closed
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.CloseWrite()
	}()
	buf := make([]byte, 16<<10)
	for {
		n, err := server.Read(buf)
		l.wait(n)
		if _, failed := client.Write(buf[:n]); err != nil || failed != nil {
			return
		}
		l.bytes.Add(int64(n))
	}
}

// wait returns when the line has carried n more bytes.
func (l *throttledLine) wait(n int) {
	l.mu.Lock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / killedRate)
	until := l.free
	l.mu.Unlock()
	time.Sleep(time.Until(until))
}
