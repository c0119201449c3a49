package mirror_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/mirror"
)

// These tests play a store that refuses or breaks; what a store does when it works is tested with a real one, under the tag long.

func answer(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_ = xml.NewEncoder(w).Encode(struct {
			XMLName xml.Name `xml:"Error"`
			Code    string
			Message string
		}{Code: code, Message: "as the test has it"})
	}
}

// emptyBucket lists nothing; writes go to put.
func emptyBucket(put http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			put(w, r)
			return
		}
		_, _ = io.WriteString(w, `<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>`)
	}
}

func cut(w http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 10)
	panic(http.ErrAbortHandler)
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	w.genesis()
	for _, tc := range []struct {
		name  string
		serve http.HandlerFunc
		want  string
	}{
		{"no bucket", answer(404, "NoSuchBucket"), "make the bucket first"},
		{"denied", answer(403, "AccessDenied"), "the credentials need s3:ListBucket"},
		{"other keys", answer(403, "InvalidAccessKeyId"), "are not those of this store"},
		{"clock", answer(403, "RequestTimeTooSkewed"), "set the clock of this machine"},
		{"region", answer(400, "AuthorizationHeaderMalformed"), "name it by --region"},
		{"overload", answer(503, "SlowDown"), "run it again when the store answers"},
		{"garbage", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello") }, "run it again"},
		{"denied to write", emptyBucket(answer(403, "AccessDenied")), "uploading blobs/"},
		{"cut midway", emptyBucket(cut), "devices see the state before: run it again"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(tc.serve)
			defer srv.Close()
			p := mirror.Place{Bucket: "bucket", Endpoint: srv.URL, Credentials: testKeys(), Tries: 1}
			_, err := mirror.Run(t.Context(), w.repo, p, mirror.Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "s3://bucket/") {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), secretKey) {
				t.Error("the error has the secret in it")
			}
		})
	}
}

func TestEndpointDown(t *testing.T) {
	w := newWorld(t)
	w.genesis()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	p := mirror.Place{Bucket: "bucket", Endpoint: srv.URL, Credentials: testKeys(), Tries: 1}
	if _, err := mirror.Run(t.Context(), w.repo, p, mirror.Options{}); err == nil || !strings.Contains(err.Error(), "run it again when the store answers") {
		t.Errorf("got %v", err)
	}
}

// A store that takes a request and never answers can be left.
func TestSlow(t *testing.T) {
	w := newWorld(t)
	w.genesis()
	asked := make(chan struct{}, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	p := mirror.Place{Bucket: "bucket", Endpoint: srv.URL, Credentials: testKeys(), Tries: 1}
	if _, err := mirror.Run(ctx, w.repo, p, mirror.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAsking(t *testing.T) {
	w := newWorld(t)
	p := mirror.Place{Bucket: "bucket", Endpoint: "http://127.0.0.1:1", Tries: 1}
	if _, err := mirror.Run(t.Context(), w.repo, p, mirror.Options{}); !errors.Is(err, tufrepo.ErrUnpublished) {
		t.Errorf("nothing published: %v", err)
	}
	w.genesis()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	begun := time.Now()
	if _, err := mirror.Run(t.Context(), w.repo, p, mirror.Options{}); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("no credentials, after %v: %v", time.Since(begun), err)
	}
}

func TestParsePlace(t *testing.T) {
	for _, tc := range []struct{ reference, endpoint, want string }{
		{"s3://acme", "", "s3://acme/"},
		{"s3://acme/", "https://s3.example.com", "s3://acme/"},
		{"s3://acme/a/b/", "http://127.0.0.1:7070", "s3://acme/a/b/"},
		{"acme", "", ""}, {"s3://", "", ""}, {"s3://A", "", ""}, {"https://acme", "", ""},
		{"s3://acme//a", "", ""}, {"s3://acme/../a", "", ""}, {"s3://acme/a?b", "", ""}, {"s3://acme/a//b", "", ""},
		{"s3://acme", "s3.example.com", ""}, {"s3://acme", "https://u:p@s3.example.com", ""}, {"s3://acme", "https://s3.example.com/path", ""},
	} {
		p, err := mirror.ParsePlace(tc.reference, tc.endpoint)
		if (err == nil) != (tc.want != "") || err == nil && p.String() != tc.want {
			t.Errorf("%q %q: %v, %v", tc.reference, tc.endpoint, p, err)
		}
		if err != nil && strings.Contains(err.Error(), "u:p@") {
			t.Errorf("the error has the password in it: %v", err)
		}
	}
}
