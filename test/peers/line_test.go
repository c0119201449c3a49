package peers

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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
	var closed atomic.Bool
	for _, args := range []string{
		"addr add " + here + "/30 dev " + near, "link set " + near + " up",
		"link set " + far + " netns " + ns,
		"-n " + ns + " addr add " + there + "/30 dev " + far, "-n " + ns + " link set " + far + " up", "-n " + ns + " link set lo up",
	} {
		run(b, append([]string{"ip"}, strings.Fields(args)...)...)
	}
	var carriers sync.WaitGroup
	for from, to := range map[tun]tun{a: z, z: a} {
		late := make(chan packet, 1<<14)
		carriers.Go(func() { takeIn(from, late, delay, rate, &closed) })
		carriers.Go(func() { handOut(to, late) })
	}
	b.Cleanup(func() { closed.Store(true); carriers.Wait(); unix.Close(int(a)); unix.Close(int(z)) })
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

// urgent gives this goroutine a thread that comes before all others. A packet that waits for a busy processor looks to its
// sender like one that waits in a queue: cubic then takes the line for full, and needs many seconds to find out.
func urgent() {
	runtime.LockOSThread() // and the thread ends with the goroutine
	const resetOnFork = 1
	if unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10, Flags: resetOnFork}, 0) != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
	}
}

// takeIn gives each packet the time at which the line has carried it, until closed.
func takeIn(from tun, late chan<- packet, delay time.Duration, rate int64, closed *atomic.Bool) {
	defer close(late)
	urgent()
	var free time.Time // when the line has sent all that it took
	longest := transmission(lineQueue*lineMTU, rate)
	buf := make([]byte, lineMTU)
	for {
		n := from.read(buf, closed)
		if n == 0 {
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
func handOut(to tun, late <-chan packet) {
	urgent()
	for p := range late {
		for wait := time.Until(p.due); wait > 0; wait = time.Until(p.due) {
			sleep := unix.NsecToTimespec(int64(wait))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &sleep, nil)
		}
		_, _ = unix.Write(int(to), p.data) // a packet that the interface does not take is lost, as packets are
	}
}

// tun is an interface for IP packets, as the process that plays the wire sees it. The goroutine that reads waits for itself.
type tun int

// read returns the length of a packet, or 0 when the line is closed.
func (t tun) read(p []byte, closed *atomic.Bool) int {
	for !closed.Load() {
		if n, err := unix.Read(int(t), p); err == nil && n > 0 {
			return n
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(t), Events: unix.POLLIN}}, 100)
	}
	return 0
}

// openTun makes an interface for IP packets.
func openTun(b testing.TB, name string) tun {
	b.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		b.Fatalf("open /dev/net/tun: %v: the kernel must have tun", err)
	}
	request, err := unix.NewIfreq(name)
	must(b, err)
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	must(b, unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	return tun(fd)
}
