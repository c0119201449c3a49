//go:build long

package mirror_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/mirror"
)

// gateway is a real S3 server in front of a folder; it takes minutes to build the first time.
const gateway = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// store is a running one.
type store struct {
	t      testing.TB
	url    string
	client *minio.Client
}

var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fairlead-s3-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "install", gateway)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("building the store: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := built(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func startStore(t testing.TB) *store {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	root, side := t.TempDir(), t.TempDir()
	cmd := exec.Command(filepath.Join(dir, "versitygw"), "--quiet", "--port", addr, "posix", "--sidecar", side, root)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	client, err := minio.New(addr, &minio.Options{Creds: testKeys(), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t, "http://" + addr, client}
	s.await()
	return s
}

// await asks until the store answers.
func (s *store) await() {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := s.client.ListBuckets(s.t.Context()); err == nil {
			return
		} else if time.Now().After(deadline) {
			s.t.Fatalf("the store does not answer: %v", err)
		}
	}
}

// bucket makes a bucket that everybody may read, object by object.
func (s *store) bucket(name string) mirror.Place {
	s.t.Helper()
	if err := s.client.MakeBucket(s.t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		s.t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::` + name + `/*"]}]}`
	if err := s.client.SetBucketPolicy(s.t.Context(), name, policy); err != nil {
		s.t.Fatal(err)
	}
	return mirror.Place{Bucket: name, Prefix: "fleet/", Endpoint: s.url, Credentials: testKeys(), Tries: 1}
}

// device is a real client that fetches from the bucket, without any credential.
func (w *world) device(p mirror.Place) *client.Client {
	w.t.Helper()
	root, err := os.ReadFile(filepath.Join(w.repo.Dir(), "metadata/1.root.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.Open(client.Config{Root: root, Source: source(w.t, p), Clock: w.clock})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func source(t testing.TB, p mirror.Place) client.Source {
	t.Helper()
	base, err := url.Parse(p.Endpoint + "/" + p.Bucket + "/" + p.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	return client.HTTPSource(base, nil, client.HTTPOptions{})
}

// sees refreshes, and fetches every release to its last byte.
func (w *world) sees(p mirror.Place, c *client.Client) ([]string, error) {
	ctx := context.Background()
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	targets, err := c.Targets(ctx, repotest.Product)
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, target := range targets {
		m, err := c.Manifest(ctx, target)
		if err != nil {
			return nil, err
		}
		for _, b := range m.Blobs() {
			if err := fetch(source(w.t, p), bundle.BlobName(b.SHA256), b.SHA256[:]); err != nil {
				return nil, err
			}
		}
		versions = append(versions, m.Version)
	}
	slices.Sort(versions)
	return versions, nil
}

func fetch(s client.Source, name string, want []byte) error {
	r, err := s.Open(context.Background(), name, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return err
	}
	if !slices.Equal(sum.Sum(nil), want) {
		return fmt.Errorf("%s has other bytes", name)
	}
	return nil
}

// cutter lets so many writes through; the one after is lost, or done and reported as failed.
type cutter struct {
	after  int
	done   bool
	writes int
	watch  func()
}

var errCut = errors.New("the line went")

func (c *cutter) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		if c.after >= 0 && c.writes > c.after {
			return nil, errCut // a dead process asks nothing, either
		}
		return http.DefaultTransport.RoundTrip(req)
	}
	n := c.writes
	c.writes++
	if c.after >= 0 && n >= c.after && (n > c.after || !c.done) {
		return nil, errCut
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil && c.watch != nil {
		c.watch()
	}
	if err == nil && c.after >= 0 && n == c.after {
		resp.Body.Close()
		return nil, errCut
	}
	return resp, err
}

var cases = []struct {
	name     string
	old, new []string
	prepare  func(w *world, mirrored func())
	window   bool // between two writes devices may fail to verify
}{
	{"first", nil, []string{"1.0.0"}, func(w *world, _ func()) { w.genesis() }, false},
	{"release", []string{"1.0.0"}, []string{"1.0.0", "1.1.0"}, func(w *world, mirrored func()) {
		w.genesis()
		mirrored()
		w.release("1.1.0", 2)
	}, false},
	{"two roots and two releases", []string{"1.0.0"}, []string{"1.0.0", "1.1.0", "1.2.0"}, func(w *world, mirrored func()) {
		w.genesis()
		mirrored()
		w.release("1.1.0", 2, 2)
		w.release("1.2.0", 3, 3)
	}, false},
	{"root with other online keys", []string{"1.0.0"}, []string{"1.0.0", "1.1.0"}, func(w *world, mirrored func()) {
		w.genesis()
		mirrored()
		w.rotate()
		w.release("1.1.0", 2, 2)
	}, false},
	{"root with other online keys, mirrored after the next renewal", []string{"1.0.0"}, []string{"1.0.0", "1.1.0"}, func(w *world, mirrored func()) {
		w.genesis()
		mirrored()
		w.rotate()
		w.release("1.1.0", 2, 2)
		if _, err := w.repo.Renew(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}, true},
}

// TestCrashes cuts the line in front of every write, and behind it; devices that look see the old state or the new.
func TestCrashes(t *testing.T) {
	s := startStore(t)
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			writes := s.crash(t, fmt.Sprintf("probe-%d", i), tc.prepare, tc.old, tc.new, tc.window, -1, false)
			if writes < 3 {
				t.Fatalf("only %d writes", writes)
			}
			for n := range writes {
				for _, done := range []bool{false, true} {
					s.crash(t, fmt.Sprintf("cut-%d-%d-%v", i, n, done), tc.prepare, tc.old, tc.new, tc.window, n, done)
				}
			}
			t.Logf("%d writes, %d crashes", writes, 2*writes)
		})
	}
}

func (s *store) crash(t *testing.T, bucket string, prepare func(*world, func()), old, want []string, window bool, after int, done bool) int {
	t.Helper()
	w, p := newWorld(t), s.bucket(bucket)
	var veteran *client.Client
	prepare(w, func() {
		w.mirror(p)
		veteran = w.device(p)
		if got, err := w.sees(p, veteran); err != nil || !slices.Equal(got, old) {
			t.Fatalf("before: %q, %v", got, err)
		}
	})
	look := func(when string, states ...[]string) {
		t.Helper()
		devices := []*client.Client{w.device(p)}
		if veteran != nil {
			devices = append(devices, veteran)
		}
		for i, d := range devices {
			got, err := w.sees(p, d)
			if err != nil && (old == nil || window) && len(states) > 1 {
				continue
			}
			if err != nil || !slices.ContainsFunc(states, func(s []string) bool { return slices.Equal(s, got) }) {
				t.Errorf("%s, write %d, done %v: device %d sees %q, %v, want one of %q", when, after, done, i, got, err, states)
			}
		}
	}
	c := &cutter{after: after, done: done}
	if after < 0 {
		c.watch = func() { look("after a write", old, want) }
	}
	cut := p
	cut.Transport = c
	if _, err := mirror.Run(t.Context(), w.repo, cut, mirror.Options{}); err != nil && !errors.Is(err, errCut) {
		t.Fatal(err)
	} else if err == nil && after >= 0 && !done {
		t.Fatal("the cut was not noticed")
	}
	look("after the cut", old, want)
	w.mirror(p)
	look("after running it again", want)
	if again := w.mirror(p); again.Uploaded != 0 || again.Waiting > 3+len(old)*3 {
		t.Errorf("the third run uploads %d", again.Uploaded)
	}
	return c.writes
}

func (w *world) mirror(p mirror.Place) mirror.Done {
	w.t.Helper()
	done, err := mirror.Run(context.Background(), w.repo, p, mirror.Options{Clock: w.clock})
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// TestWhatObjectsSay: caches go by these headers; and a store hides what is absent from those who may not list.
func TestWhatObjectsSay(t *testing.T) {
	s := startStore(t)
	w, p := newWorld(t), s.bucket("headers")
	w.genesis()
	w.mirror(p)
	for name := range repotest.Snapshot(t, w.repo.Dir()) {
		if !tufrepo.IsServed(name) {
			continue
		}
		resp, err := http.Get(p.Endpoint + "/" + p.Bucket + "/" + p.Prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		wantType, wantCache := "application/json", "public, max-age=31536000, immutable"
		if strings.HasPrefix(name, "blobs/") {
			wantType = "application/octet-stream"
		}
		if name == bundle.TimestampName {
			wantCache = "no-cache"
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != wantType || resp.Header.Get("Cache-Control") != wantCache {
			t.Errorf("%s: %d %q %q", name, resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"))
		}
	}
	resp, err := http.Get(p.Endpoint + "/" + p.Bucket + "/" + p.Prefix + "metadata/2.root.json")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Logf("an absent object is %d here", resp.StatusCode)
}

// TestCollect: what nothing leads to goes when its grace has ended, on request; roots and the objects of others stay.
func TestCollect(t *testing.T) {
	s := startStore(t)
	w, p := newWorld(t), s.bucket("collect")
	w.genesis()
	w.mirror(p)
	if _, err := s.client.PutObject(t.Context(), p.Bucket, p.Prefix+"notes.txt", strings.NewReader("mine"), 4, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	w.withdraw("1.1.0", 2, 2)
	gc := func() mirror.Done {
		done, err := mirror.Run(t.Context(), w.repo, p, mirror.Options{GC: true, Clock: w.clock, Grace: time.Nanosecond})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if done := gc(); len(done.Removed) != 0 || done.Waiting != 4 { // snapshot, product, manifest, blob
		t.Fatalf("at once: %+v", done)
	}
	w.now = w.now.Add(tufrepo.Grace)
	if _, err := w.repo.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done := w.mirror(p); len(done.Removed) != 0 {
		t.Fatalf("without --gc: %+v", done)
	}
	if done := gc(); len(done.Removed) != 4 || done.Waiting != 1 { // the snapshot that the renewal replaced
		t.Fatalf("after the grace: %+v", done)
	}
	if got, err := w.sees(p, w.device(p)); err != nil || !slices.Equal(got, []string{"1.1.0"}) {
		t.Errorf("a device sees %q, %v", got, err)
	}
	if _, err := s.client.StatObject(t.Context(), p.Bucket, p.Prefix+"notes.txt", minio.StatObjectOptions{}); err != nil {
		t.Errorf("somebody else's object: %v", err)
	}
}

// TestOthers: a bucket that is ahead, or another's, is left alone; a damaged object is replaced; a blob that has rotted
// is not uploaded, in one part or in many.
func TestOthers(t *testing.T) {
	s := startStore(t)
	w, p := newWorld(t), s.bucket("others")
	w.genesis()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(w.repo.Dir())); err != nil {
		t.Fatal(err)
	}
	w.release("1.1.0", 2)
	w.mirror(p)
	before, err := tufrepo.Open(old, tufrepo.Options{Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Run(t.Context(), before, p, mirror.Options{}); !errors.Is(err, mirror.ErrNewer) {
		t.Errorf("an old folder: %v", err)
	}
	stranger := newWorld(t)
	stranger.genesis()
	for range 4 {
		if _, err := stranger.repo.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mirror.Run(t.Context(), stranger.repo, p, mirror.Options{}); err == nil || !strings.Contains(err.Error(), "another repository is published there") {
		t.Errorf("another's bucket: %v", err)
	}
	name := "metadata/1." + repotest.Product + ".json"
	data, err := os.ReadFile(filepath.Join(w.repo.Dir(), name))
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(data), "2", "3", 1)
	if _, err := s.client.PutObject(t.Context(), p.Bucket, p.Prefix+"metadata/2."+repotest.Product+".json", strings.NewReader(damaged), int64(len(damaged)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if done := w.mirror(p); done.Uploaded != 1 {
		t.Errorf("a damaged object: %+v", done)
	}
	if got, err := w.sees(p, w.device(p)); err != nil || len(got) != 2 {
		t.Errorf("a device sees %q, %v", got, err)
	}
}

func TestRotten(t *testing.T) {
	s := startStore(t)
	w, p := newWorld(t), s.bucket("rotten")
	w.genesis()
	dir := t.TempDir()
	image := make([]byte, 40<<20)
	rand.Read(image) // it does not become smaller: three parts
	b, err := bundle.LoadBase(os.DirFS(w.repo.Dir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Release(t, dir, w.now, b.Role(repotest.Product), repotest.Product, "2.0.0", 2, image)
	w.publish(dir)
	blobs, _ := filepath.Glob(filepath.Join(w.repo.Dir(), "blobs/*"))
	for _, path := range blobs {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rotten := slices.Clone(whole)
		rotten[len(rotten)-1] ^= 1
		if err := os.WriteFile(path, rotten, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := mirror.Run(t.Context(), w.repo, p, mirror.Options{}); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%d bytes: %v", len(whole), err)
		}
		if _, err := s.client.StatObject(t.Context(), p.Bucket, p.Prefix+"blobs/"+filepath.Base(path), minio.StatObjectOptions{}); err == nil {
			t.Errorf("a rotten blob of %d bytes is in the bucket", len(whole))
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	done := w.mirror(p)
	t.Logf("%d bytes in %v", done.Bytes, time.Since(begun))
	if got, err := w.sees(p, w.device(p)); err != nil || len(got) != 2 {
		t.Errorf("a device sees %q, %v", got, err)
	}
	if again := w.mirror(p); again.Uploaded != 0 {
		t.Errorf("again: %+v", again)
	}
}

// TestDenied: what the store's own answers become.
func TestDenied(t *testing.T) {
	s := startStore(t)
	w, p := newWorld(t), s.bucket("denied")
	w.genesis()
	absent := p
	absent.Bucket = "not-there"
	if _, err := mirror.Run(t.Context(), w.repo, absent, mirror.Options{}); err == nil || !strings.Contains(err.Error(), "make the bucket first") {
		t.Errorf("no bucket: %v", err)
	}
	if err := s.client.SetBucketPolicy(t.Context(), "denied", ""); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(p.Endpoint + "/denied/fleet/metadata/1.root.json")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a private bucket answers %s", resp.Status)
	}
}
