package peers

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// line is a slow link between this machine's network and a network namespace: two tun interfaces, and this process, that
// carries IP packets from one to the other at a rate, late. It needs no queueing discipline of the kernel.
//
// How the sender of this side finds the pace of the line is not the line's. Cubic, which Linux takes unless told otherwise,
// fills the queue until packets are lost, and keeps the line busy from the second second on. BBR lets it run empty every ten
// seconds, for two round trips, to measure it: that alone is 2 to 4 in a hundred, of curl's time as well.
type line struct {
	host, device string // the address of this side, and its interface
	enter        []string
}

const (
	lineMTU   = 1500
	lineQueue = 1000 // packets that wait for their turn, as many as of netem; more are dropped
)

// newLine makes a link with the same delay and rate, in bits a second, in both directions.
func newLine(b testing.TB, delay time.Duration, rate int64) line {
	b.Helper()
	need(b, "ip")
	needRoot(b, "a network namespace")
	id := os.Getpid() % 16384
	net := fmt.Sprintf("198.18.%d.", id>>6) // RFC 2544: for benchmarks
	here, there := fmt.Sprint(net, id&63*4+1), fmt.Sprint(net, id&63*4+2)
	ns, near, far := fmt.Sprintf("peers-%d", id), fmt.Sprintf("peers%dn", id), fmt.Sprintf("peers%df", id)
	run(b, "ip", "netns", "add", ns)
	b.Cleanup(func() { run(b, "ip", "netns", "del", ns) })
	a, z := openTun(b, near), openTun(b, far)
	for _, args := range []string{
		"addr add " + here + "/30 dev " + near, "link set " + near + " up",
		"link set " + far + " netns " + ns,
		"-n " + ns + " addr add " + there + "/30 dev " + far, "-n " + ns + " link set " + far + " up", "-n " + ns + " link set lo up",
	} {
		run(b, append([]string{"ip"}, strings.Fields(args)...)...)
	}
	var carriers sync.WaitGroup
	for from, to := range map[*os.File]*os.File{a: z, z: a} {
		late := make(chan packet, 1<<14)
		carriers.Go(func() { takeIn(from, late, delay, rate) })
		carriers.Go(func() { handOut(to, late) })
	}
	b.Cleanup(func() { a.Close(); z.Close(); carriers.Wait() })
	return line{here, near, []string{"ip", "netns", "exec", ns}}
}

// congestion sets how those who send on this side find their pace.
func (l line) congestion(b testing.TB, algorithm string) {
	b.Helper()
	route := strings.Fields(output(b, "ip", "-4", "route", "show", "table", "main", "dev", l.device))
	run(b, append(append([]string{"ip", "route", "change"}, route...), "dev", l.device, "congctl", algorithm)...)
}

// packet is on its way, and arrives at a time.
type packet struct {
	data []byte
	due  time.Time
}

// takeIn gives each packet the time at which the line has carried it. It ends when the interface is closed.
func takeIn(from *os.File, late chan<- packet, delay time.Duration, rate int64) {
	defer close(late)
	var free time.Time // when the line has sent all that it took
	longest := transmission(lineQueue*lineMTU, rate)
	buf := make([]byte, lineMTU)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if free.Sub(now) > longest {
			continue // the queue is full
		}
		free = free.Add(transmission(n, rate))
		select {
		case late <- packet{append([]byte(nil), buf[:n]...), free.Add(delay)}:
		default: // more than the queue and the delay hold
		}
	}
}

func transmission(bytes int, rate int64) time.Duration {
	return time.Duration(int64(bytes) * 8 * int64(time.Second) / rate)
}

// handOut delivers packets when they are due.
func handOut(to *os.File, late <-chan packet) {
	for p := range late {
		time.Sleep(time.Until(p.due))
		to.Write(p.data) // a packet that the interface does not take is lost, as packets are
	}
}

// openTun makes an interface for IP packets.
func openTun(b testing.TB, name string) *os.File {
	b.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		b.Fatalf("open /dev/net/tun: %v: the kernel must have tun", err)
	}
	request, err := unix.NewIfreq(name)
	must(b, err)
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	must(b, unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	return os.NewFile(uintptr(fd), name)
}
