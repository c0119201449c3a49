package bench

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRelease is a release of a 768 MiB image from the image to the published repository, without patches, beside zstd -9
// on all cores and the SHA-256 of the image: as it is by default, which takes the program zstd, and by the coder that is built in,
// both with and without chunks.
func BenchmarkRelease(b *testing.B) {
	const size = 768 << 20
	w := newWorld(b)
	image := w.at("image")
	if err := fill(image, size, "1.0.0"); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		theirs := seconds(func() {
			w.command(b, "zstd", "-q", "-f", "-9", "-T0", image, "-o", w.at("image.zst"))
			w.command(b, "sha256sum", image)
		})
		plain := seconds(func() { w.release(b, fmt.Sprintf("1.%d.0", 2*i), image, "--no-chunks") })
		whole := seconds(func() { w.release(b, fmt.Sprintf("1.%d.0", 2*i+1), image) })
		ownPlain := seconds(func() { w.release(b, fmt.Sprintf("2.%d.0", 2*i), image, "--no-chunks", "--zstd", "none") })
		own := seconds(func() { w.release(b, fmt.Sprintf("2.%d.0", 2*i+1), image, "--zstd", "none") })
		b.ReportMetric(theirs, "zstd+sha256-s")
		b.ReportMetric(ownPlain/theirs, "built-in-no-chunks÷zstd+sha256")
		b.ReportMetric(own/theirs, "built-in÷zstd+sha256")
		b.ReportMetric(plain/theirs, "no-chunks÷zstd+sha256")
		b.ReportMetric(whole/theirs, "release÷zstd+sha256")
	}
}

// BenchmarkManyReleases publishes 200 releases of one product, one after another: what the last ten cost, as a ratio of what
// the first ten did. The images are small, so that what the list of the others adds to a release is not hidden behind them.
// Beside the time there is what the processes took of the processors, in which other work on the machine shows less.
func BenchmarkManyReleases(b *testing.B) {
	const releases, few = 200, 10
	for b.Loop() {
		w := newWorld(b)
		var took, busy []float64
		for i := range releases {
			image := w.at("image")
			if err := fill(image, 1<<20, fmt.Sprint(i)); err != nil {
				b.Fatal(err)
			}
			before := childrenCPU(b)
			took = append(took, seconds(func() { w.release(b, fmt.Sprintf("1.%d.0", i), image, "--no-chunks") }))
			busy = append(busy, childrenCPU(b)-before)
		}
		first, last := median(took[:few]), median(took[releases-few:])
		b.ReportMetric(1000*first, "first-ms")
		b.ReportMetric(1000*last, "last-ms")
		b.ReportMetric(1000*(last-first), "more-ms")
		b.ReportMetric(last/first, "last÷first")
		first, last = median(busy[:few]), median(busy[releases-few:])
		b.ReportMetric(1000*first, "CPU-first-ms")
		b.ReportMetric(1000*last, "CPU-last-ms")
		b.ReportMetric(last/first, "CPU-last÷first")
	}
}

// childrenCPU is how many seconds of user and system time ended child processes have taken.
func childrenCPU(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func (w *world) release(b *testing.B, version, image string, flags ...string) {
	b.Helper()
	w.run(b, "fairlead-sign", append([]string{"release", "--repo", w.at("repo"), "--product", product, "--version", version,
		"--hardware", hardware, "--image", image, "--patches", "0", "--out", w.at(version)}, flags...)...)
	w.signPublish(b, version)
	if err := os.RemoveAll(w.at(version)); err != nil {
		b.Fatal(err)
	}
}

func (w *world) command(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func seconds(do func()) float64 {
	start := time.Now()
	do()
	return time.Since(start).Seconds()
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
