package peers

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkNoPatchBytes: what is fetched when there is no patch, but the old image in the slot that runs.
func BenchmarkNoPatchBytes(b *testing.B) {
	c := openCache(b)
	t := newTable("Bytes fetched without a patch, the old image at hand", "pair", "what", "bytes", "fairlead ÷ it", "measured")
	defer t.print()
	t.note("casync: its index, and the compressed chunks of the new image that the old one has not")
	t.note("on the wire: all that the service sent, TLS and metadata too")
	eachPair(b, images, func(b *testing.B, p pair) {
		theirs := c.missingChunks(b, p)
		fetched, wire := fetchWithOld(b, c, p)
		t.add(p, "fairlead-agent", fetched, "", "now")
		t.add(p, "fairlead-agent, on the wire", wire, "", "now")
		t.add(p, "casync, 16:64:256 KiB ("+theirs.Tool+")", theirs.Bytes, share(fetched, theirs.Bytes), theirs.measured())
		b.ReportMetric(float64(share(fetched, theirs.Bytes)), "bytes÷casync")
	})
}

// fetchWithOld installs the new image on a device that runs the old one, whose release is in the repository, too.
func fetchWithOld(b testing.TB, c cache, p pair) (fetched, wire int64) {
	b.Helper()
	w := newWorld(b, c)
	w.publish(b, "1.0.0", p.old)
	w.publish(b, "1.1.0", p.new)
	w.serve(b, "127.0.0.1")
	slots := [2]string{w.at("a"), w.at("b")}
	run(b, "cp", p.old, slots[0])
	must(b, os.WriteFile(slots[1], nil, 0o600))
	url, count := countingRelay(b, w.url)
	_, fetched = w.install(b, w.device(b, slots[0], slots[1], max(size(b, p.old), size(b, p.new))), url)
	if err := same(slots[1], p.new); err != nil {
		b.Fatal(err)
	}
	return fetched, count.Load()
}

// countingRelay passes connections on, and counts what comes back.
func countingRelay(b testing.TB, url string) (relay string, received *atomic.Int64) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	b.Cleanup(func() { l.Close() })
	received = new(atomic.Int64)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go relayOne(client, strings.TrimPrefix(url, "https://"), received)
		}
	}()
	return "https://" + l.Addr().String(), received
}

func relayOne(client net.Conn, address string, received *atomic.Int64) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return // the client sees its connection closed
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	})
	both.Go(func() {
		io.Copy(io.MultiWriter(client, counter{received}), server)
		client.(*net.TCPConn).CloseWrite()
	})
	both.Wait()
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// missingChunks is what casync would fetch.
func (c cache) missingChunks(b testing.TB, p pair) (r result) {
	b.Helper()
	c.remember(b, p, "casync", "casync make, new less old", func(file string) {
		dir := c.scratch(b)
		old, new := makeChunks(b, filepath.Join(dir, "old"), p.old), makeChunks(b, filepath.Join(dir, "new"), p.new)
		r.Bytes = size(b, new.index)
		has := old.chunks(b)
		for name, length := range new.chunks(b) {
			if _, there := has[name]; !there {
				r.Bytes += length
			}
		}
		must(b, os.WriteFile(file, nil, 0o644))
	}, &r)
	return r
}
