package attack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/wire"
)

// TestAgentThatIsKilledInTheTrialAgainAndAgain: a release whose agent does not live to a verdict is given up, without a power
// cut that would let the bootloader count.
func TestAgentThatIsKilledInTheTrialAgainAndAgain(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", nil)
	if !u.live(func() bool { return false }) || u.power() != boot.B {
		t.Fatal("no trial")
	}
	asked := make(chan struct{}, 100)
	u.meddle = func(o *agent.Options) {
		o.Health = []health.Check{{Name: "slow", Run: func(ctx context.Context) error {
			asked <- struct{}{}
			<-ctx.Done()
			return context.Cause(ctx)
		}}}
	}
	kills := 0
	for ; kills < 20; kills++ {
		if u.live(func() bool { return len(asked) > 0 }) {
			break // it gives up, and wants to go back
		}
		for len(asked) > 0 {
			<-asked
		}
	}
	if kills < 2 || kills > 10 {
		t.Errorf("%d kills until it was given up", kills)
	}
	u.meddle = nil
	if u.power() != boot.A {
		t.Error("the old slot does not start")
	}
	if end := u.untilEnd(update); end.State != wire.RolledBack {
		t.Errorf("ended as %+v", end)
	}
	u.wantRunning(boot.A, image(1))
}

// TestServiceIsDownInTheTrial: a release that cannot reach a service that is down goes back, since nobody can tell that from
// a release that broke the network; and it may be directed again, and is kept then.
func TestServiceIsDownInTheTrial(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", nil)
	if !u.live(func() bool { return false }) || u.power() != boot.B {
		t.Fatal("no trial")
	}
	down := true
	u.meddle = func(o *agent.Options) {
		if down {
			o.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no route to host (test)")
			}
		}
	}
	if !u.live(func() bool { return false }) || u.power() != boot.A {
		t.Fatal("the trial did not end")
	}
	down = false
	if end := u.untilEnd(update); end.State != wire.RolledBack || !strings.Contains(end.Detail, "was reached before the update") {
		t.Errorf("ended as %+v", end)
	}
	u.wantRunning(boot.A, image(1))
	if end := u.untilEnd(site.Direct(u.id, "1.1.0", nil)); end.State != wire.Committed {
		t.Errorf("directed again: %+v", end)
	}
	u.wantRunning(boot.B, image(2))
}

// TestRetainedDirectionIsCarriedOutOnce: the direction that lies there is shown at each poll and after each restart, and does
// nothing once its update has ended, well or badly.
func TestRetainedDirectionIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	for _, good := range []bool{true, false} {
		site := newSite(t)
		site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
		u := newUnit(t, site)
		u.enroll()
		u.meddle = func(o *agent.Options) {
			o.Health = []health.Check{{Name: "product", Run: func(context.Context) error {
				if !good {
					return errors.New("no picture")
				}
				return nil
			}}}
		}
		u.untilEnd(site.Direct(u.id, "1.1.0", nil))
		events, boots := len(site.Events(u.id)), u.boots
		for range 3 {
			asked := site.Requests(u.id)
			if u.live(func() bool { return site.Requests(u.id) > asked+3 }) {
				t.Fatal("the device wants a reboot")
			}
		}
		if now := len(site.Events(u.id)); now != events || u.boots != boots {
			t.Errorf("good %v: %d events more: %v", good, now-events, u.events())
		}
	}
}

// TestNameServers: whatever a name server answers, a device goes on, and finds its service when that is named again.
func TestNameServers(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
	u := newUnit(t, site)
	u.enroll()
	dns := newNameServer(t)
	elsewhere, err := net.Listen("tcp", "127.0.0.2:0")
	must(t, err)
	defer elsewhere.Close()
	_, port, err := net.SplitHostPort(site.Server.Listener.Addr().String())
	must(t, err)
	u.meddle = func(o *agent.Options) {
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", dns.conn.LocalAddr().String())
		}}
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Resolver: resolver, Timeout: 300 * time.Millisecond}).DialContext(ctx, network, "service.fairlead.test:"+port)
		}
	}
	for _, what := range []string{"no such name", "failure", "silence", "garbage", "nothing", "elsewhere", "a thousand"} {
		dns.say(what)
		asked, heard := dns.asked.Load(), site.Requests(u.id)
		if u.live(func() bool { return dns.asked.Load() > asked+2 }) {
			t.Fatalf("%s: the device wants a reboot", what)
		}
		if site.Requests(u.id) != heard {
			t.Errorf("%s: the service was found all the same", what)
		}
	}
	update := site.Direct(u.id, "1.1.0", nil)
	dns.say("right")
	if end := u.untilEnd(update); end.State != wire.Committed {
		t.Errorf("ended as %+v", end)
	}
}

// nameServer answers over UDP as it is told.
type nameServer struct {
	conn   net.PacketConn
	asked  atomic.Int64
	answer atomic.Value // string
}

func newNameServer(t *testing.T) *nameServer {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	s := &nameServer{conn: conn}
	go s.serve()
	return s
}

func (s *nameServer) say(what string) { s.answer.Store(what) }

func (s *nameServer) serve() {
	b := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(b)
		if err != nil {
			return
		}
		s.asked.Add(1)
		if out := reply(b[:n], s.answer.Load().(string)); out != nil {
			_, _ = s.conn.WriteTo(out, from)
		}
	}
}

// reply is an answer to a question, RFC 1035: the header, the question as it came, and addresses.
func reply(query []byte, what string) []byte {
	end := 12 + bytes.IndexByte(query[12:], 0) + 5
	question, isA := query[12:end], query[end-3] == 1
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	records := 0
	add := func(ip byte) {
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, ip)
		records++
	}
	switch what {
	case "silence":
		return nil
	case "garbage":
		return bytes.Repeat([]byte{0xc0}, 600)
	case "no such name":
		out[3] |= 3
	case "failure":
		out[3] |= 2
	}
	for i := range map[string]int{"right": 1, "elsewhere": 1, "a thousand": 90}[what] { // 90 are what 1500 bytes hold
		if isA && what == "right" {
			add(1)
		} else if isA {
			add(byte(2 + i))
		}
	}
	out[6], out[7] = byte(records>>8), byte(records)
	return out
}

// TestRootFileIsGone: without the root that it is to trust, a device installs nothing.
func TestRootFileIsGone(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
	other := newSite(t)
	for name, spoil := range map[string]func(path string) error{
		"gone":      os.Remove,
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"cut off":   func(path string) error { return os.Truncate(path, 200) },
		"a folder":  func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"unsigned":  func(path string) error { return edit(path, `"sig":"`, `"sig":"00`) },
		"another's": func(path string) error { other.WriteRoot(path); return nil },
	} {
		u := newUnit(t, site)
		site.WriteFolder(u.path("repo"))
		must(t, spoil(u.path("root.json")))
		a, err := agent.New(u.cfg, agent.Options{Boot: u.boot})
		if err == nil {
			_, err = a.Install(context.Background(), u.path("repo"), "")
		}
		if err == nil || errors.Is(err, agent.ErrReboot) {
			t.Errorf("%s: %v", name, err)
		}
		if s, err := u.boot.State(); err != nil || s.B.Bootable || s.Trial != "" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func edit(path, old, new string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(b), old, new, 1)), 0o600)
}

// TestMediumThatChangesAfterItWasRead: a repository on a stick that shows other bytes at each second look.
func TestMediumThatChangesAfterItWasRead(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
	u := newUnit(t, site)
	u.enroll()
	looks := map[string]int{}
	var mu sync.Mutex
	site.Spoil(func(name string, b []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if looks[name]++; looks[name] > 1 {
			b[len(b)-500] ^= 1
		}
		return b
	})
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	b, err := os.ReadFile(u.cfg.Slots.B)
	must(t, err)
	if end.State == wire.Committed && !bytes.HasPrefix(b, image(2)) {
		t.Errorf("committed with other bytes: %+v", end)
	}
	if end.State != wire.Committed {
		u.wantRunning(boot.A, image(1))
	}
	// The same, with a folder whose file is changed while it is installed from.
	u = newUnit(t, site)
	site.Spoil(nil)
	site.WriteFolder(u.path("repo"))
	must(t, filepath.WalkDir(u.path("repo/blobs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil {
			b[len(b)-500] ^= 1
			err = os.WriteFile(path, b, 0o600)
		}
		return err
	}))
	if _, err := u.agent().Install(context.Background(), u.path("repo"), ""); agent.ReasonOf(err) != agent.Corrupt {
		t.Errorf("changed bytes in the folder: %v", err)
	}
	if s, err := u.boot.State(); err != nil || s.B.Bootable {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestFolderWithLinksThatLeadOut: what lies outside of a repository's folder is not read by way of it.
func TestFolderWithLinksThatLeadOut(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
	u := newUnit(t, site)
	site.WriteFolder(u.path("repo"))
	must(t, os.Rename(u.path("repo/blobs"), u.path("outside")))
	must(t, os.Symlink("../outside", u.path("repo/blobs")))
	if _, err := u.agent().Install(context.Background(), u.path("repo"), ""); err == nil || errors.Is(err, agent.ErrReboot) {
		t.Errorf("a link that leads out of the folder: %v", err)
	}
	must(t, os.Remove(u.path("repo/blobs")))
	must(t, os.Rename(u.path("outside"), u.path("repo/inside")))
	must(t, os.Symlink("inside", u.path("repo/blobs")))
	if _, err := u.agent().Install(context.Background(), u.path("repo"), ""); !errors.Is(err, agent.ErrReboot) {
		t.Errorf("a link that stays: %v", err)
	}
}

// TestHostilePacks: archives that are not what fairlead-repo packs.
func TestHostilePacks(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
	folder := t.TempDir()
	site.WriteFolder(folder)
	type pack = func(z *zip.Writer)
	for name, c := range map[string]struct {
		with  pack
		good  bool
		spoil func(b []byte) []byte
	}{
		"as it is": {good: true},
		"with others": {with: func(z *zip.Writer) {
			put(z, "../../etc/passwd", 0, "x")
			put(z, "/abs", 0, "x")
			put(z, "a\\b", 0, "x")
		}, good: true},
		"a link among them":    {with: func(z *zip.Writer) { put(z, "link", fs.ModeSymlink|0o777, "/etc") }, good: true},
		"swollen":              {with: bomb},
		"the timestamp twice":  {with: func(z *zip.Writer) { put(z, "metadata/timestamp.json", 0, "{}") }, good: true}, // whichever is read is verified
		"cut off":              {spoil: func(b []byte) []byte { return b[:len(b)/2] }},
		"nothing":              {spoil: func([]byte) []byte { return nil }},
		"a page":               {spoil: func([]byte) []byte { return []byte("<html>please log in</html>") }},
		"a blob is altered":    {spoil: func(b []byte) []byte { b[bytes.Index(b, image(2)[80_000:80_010])] ^= 1; return b }},
		"a directory too long": {with: func(z *zip.Writer) { many(z, 30_000) }},
	} {
		u := newUnit(t, site)
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		if name == "swollen" {
			z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
			bomb(z)
			c.with = nil
		} else {
			must(t, addFolder(z, folder))
		}
		if c.with != nil {
			c.with(z)
		}
		must(t, z.Close())
		b := out.Bytes()
		if c.spoil != nil {
			b = c.spoil(b)
		}
		must(t, os.WriteFile(u.path("pack.zip"), b, 0o600))
		start := time.Now()
		_, err := u.agent().Install(context.Background(), u.path("pack.zip"), "")
		if errors.Is(err, agent.ErrReboot) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && time.Since(start) > 10*time.Second {
			t.Errorf("%s: refused after %v", name, time.Since(start))
		}
		if left, _ := filepath.Glob(u.path("etc")); len(left) > 0 {
			t.Errorf("%s: %v was made", name, left)
		}
	}
}

func put(z *zip.Writer, name string, mode fs.FileMode, content string) {
	h := &zip.FileHeader{Name: name, Method: zip.Store}
	h.SetMode(mode)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err != nil {
		panic(err)
	}
}

// bomb is metadata of a gigabyte in a megabyte.
func bomb(z *zip.Writer) {
	w, err := z.Create("metadata/timestamp.json")
	if err != nil {
		panic(err)
	}
	for range 1 << 6 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			panic(err)
		}
	}
}

func many(z *zip.Writer, n int) {
	for i := range n {
		put(z, fmt.Sprint("metadata/", i), 0, "")
	}
}

func addFolder(z *zip.Writer, dir string) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		if err == nil {
			put(z, path, 0o600, string(b))
		}
		return err
	})
}
