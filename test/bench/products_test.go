package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// BenchmarkManyProducts has 1,000 products with a release each, of which two of forty engineers sign each: what a device that
// has only the first root loads of metadata over HTTP, from the first root to the targets of its own product, in bytes on the
// line and in bytes of files; and how long a release of one product takes to publish there.
func BenchmarkManyProducts(b *testing.B) {
	const products, pairs = 1000, 20
	for b.Loop() {
		w := newWorld(b)
		shop := &shop{world: w, b: b}
		where := []string{"--repo", w.at("repo"), "--out", w.at("more")}
		for pair := range pairs {
			flags := append([]string{"product", "add", "--threshold", "2"}, where...)
			keys := shop.engineers(pair)
			for i := range products / pairs {
				name := fmt.Sprintf("product-%03d", pair*products/pairs+i)
				flags = append(flags, name)
				shop.products = append(shop.products, sold{name, keys})
			}
			w.run(b, "fairlead-sign", append(flags, "--key", w.at(shop.file(pair, 0)+".pub"), "--key", w.at(shop.file(pair, 1)+".pub"))...)
			where = []string{"--bundle", w.at("more")}
		}
		w.signPublish(b, "more")
		shop.releaseAll()
		b.ReportMetric(seconds(func() { w.run(b, "fairlead-repo", "publish", "--repo", w.at("repo"), w.at("all-releases")) }), "publish-all-s")
		b.ReportMetric(seconds(func() { w.release(b, "2.0.0", w.at("image"), "--no-chunks") }), "publish-one-s")
		line, file := shop.load(shop.products[products/2].name)
		b.ReportMetric(float64(line)/1000, "line-kB")
		b.ReportMetric(float64(file)/1000, "files-kB")
	}
}

// shop is a repository with many products.
type shop struct {
	*world
	b        *testing.B
	products []sold
}

type sold struct {
	name string
	keys []keyfile.Signer
}

func (s *shop) must(err error) {
	s.b.Helper()
	if err != nil {
		s.b.Fatal(err)
	}
}

func (s *shop) file(pair, who int) string { return fmt.Sprintf("engineer-%d-%d", pair, who) }

func (s *shop) engineers(pair int) []keyfile.Signer {
	var keys []keyfile.Signer
	for who := range 2 {
		key, err := keyfile.Generate(keyfile.Ed25519)
		s.must(err)
		s.must(keyfile.SavePublic(s.at(s.file(pair, who)+".pub"), key.Public()))
		signs, err := keyfile.NewSigner(key)
		s.must(err)
		keys = append(keys, signs)
	}
	return keys
}

// releaseAll makes a release of every product, in one bundle: the first as engineers do, the others after it.
func (s *shop) releaseAll() {
	s.must(os.WriteFile(s.at("image"), make([]byte, 1<<16), 0o600))
	base, err := signer.ReadBase(s.at("repo"), "")
	s.must(err)
	first := s.products[0]
	all := s.at("all-releases")
	_, err = signer.NewRelease(context.Background(), signer.ReleaseOptions{Out: all, Base: base, Product: first.name, Version: "1.0.0",
		Hardware: []string{hardware}, Image: s.at("image"), Lifetime: 24 * time.Hour, Now: time.Now(), Keys: first.keys, NoChunks: true})
	s.must(err)
	raw, err := os.ReadFile(filepath.Join(all, "targets", first.name, "1.0.0.json"))
	s.must(err)
	manifest, err := firmware.ParseManifest(raw)
	s.must(err)
	for _, p := range s.products[1:] {
		manifest.Product = p.name
		raw, err := manifest.Encode()
		s.must(err)
		path, entry, err := bundle.Target(raw)
		s.must(err)
		role := metadata.Targets(bundle.Expiry(time.Now(), 24*time.Hour))
		role.Signed.Targets[path] = entry
		for _, key := range p.keys {
			s.must(bundle.SignMetadata(role, key))
		}
		signed, err := bundle.Encode(role)
		s.must(err)
		s.must(os.MkdirAll(filepath.Join(all, "targets", p.name), 0o755))
		s.must(os.WriteFile(filepath.Join(all, "targets", path), raw, 0o644))
		s.must(os.WriteFile(filepath.Join(all, bundle.MetadataName(1, p.name)), signed, 0o644))
	}
}

// load is a new device's first refresh: bytes of metadata on the line, headers apart, and in files.
func (s *shop) load(product string) (line, file int64) {
	repo, err := tufrepo.Open(s.at("repo"), tufrepo.Options{})
	s.must(err)
	handler := repo.Handler(slog.New(slog.DiscardHandler))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		handler.ServeHTTP(counted{w, &line}, req)
	}))
	defer server.Close()
	root, err := os.ReadFile(s.at("repo", "metadata", "1.root.json"))
	s.must(err)
	address, err := url.Parse(server.URL)
	s.must(err)
	dir := s.b.TempDir()
	device, err := client.Open(client.Config{Dir: dir, Root: root, Source: client.HTTPSource(address, nil, client.HTTPOptions{})})
	s.must(err)
	defer device.Close()
	s.must(device.Refresh(context.Background()))
	targets, err := device.Targets(context.Background(), product)
	s.must(err)
	if len(targets) != 1 {
		s.b.Fatalf("%d releases of %s", len(targets), product)
	}
	for _, role := range []string{"timestamp", "snapshot", "targets", product} {
		info, err := os.Stat(filepath.Join(dir, "metadata", role+".json"))
		s.must(err)
		file += info.Size()
	}
	return line, file
}

// counted counts the bytes of bodies.
type counted struct {
	http.ResponseWriter
	n *int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	*c.n += int64(n)
	return n, err
}
