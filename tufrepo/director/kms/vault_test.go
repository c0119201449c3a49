//go:build kms || kms_vault

package kms_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director"
)

// transit plays what Vault's transit engine says over HTTP, as far as one key is concerned: keys with versions, a ciphertext
// that names its version. It is no Vault, and encrypts nothing: the client that speaks to it is Vault's own.
type transit struct {
	mu     sync.Mutex
	newest map[string]int // by key
	oldest int            // versions below are not decrypted any more
	fail   func(w http.ResponseWriter) bool
	asked  int
}

var vault = &transit{}

func TestMain(m *testing.M) {
	srv := httptest.NewServer(vault)
	// The library reads both once in a process.
	os.Setenv("VAULT_ADDR", srv.URL)
	os.Setenv("VAULT_TOKEN", "of this test")
	os.Setenv("VAULT_MAX_RETRIES", "0")
	code := m.Run()
	srv.Close()
	os.Exit(code)
}

func (v *transit) reset(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.newest, v.oldest, v.fail, v.asked = map[string]int{"fairlead": 1, "other": 1}, 1, nil, 0
}

func (v *transit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	if v.fail != nil && v.fail(w) {
		return
	}
	var in struct{ Plaintext, Ciphertext string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	op, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	out := map[string]string{}
	switch newest := v.newest[key]; {
	case r.Header.Get("X-Vault-Token") != "of this test":
		refuse(w, 403, "permission denied")
		return
	case newest == 0:
		refuse(w, 400, "encryption key not found")
		return
	case op == "encrypt":
		out["ciphertext"] = fmt.Sprintf("vault:v%d:%s", newest, base64.StdEncoding.EncodeToString([]byte(key+"/"+in.Plaintext)))
	default:
		var version int
		var body string
		_, _ = fmt.Sscanf(strings.ReplaceAll(in.Ciphertext, ":", " "), "vault v%d %s", &version, &body)
		text, _ := base64.StdEncoding.DecodeString(body)
		plain, ok := strings.CutPrefix(string(text), key+"/")
		if !ok || version < v.oldest {
			refuse(w, 400, "cipher: message authentication failed")
			return
		}
		out["plaintext"] = plain
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
}

func refuse(w http.ResponseWriter, status int, what string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string][]string{"errors": {what}})
}

func newKeyFile(t *testing.T) (path string, raw, sealed []byte) {
	t.Helper()
	vault.reset(t)
	path = filepath.Join(t.TempDir(), "fairlead.key")
	key, err := director.MakeSealKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if sealed, err = key.Seal(t.Context(), "a", []byte("a tenant's key")); err != nil {
		t.Fatal(err)
	}
	return path, raw, sealed
}

func opens(t *testing.T, path string, sealed []byte) error {
	t.Helper()
	key, err := director.LoadSealKey(path)
	if err != nil {
		return err
	}
	if secret, err := key.Open(t.Context(), "a", sealed); err != nil || string(secret) != "a tenant's key" {
		t.Errorf("opened %q, %v", secret, err)
	}
	return nil
}

// TestWrappedKeyFile: what was sealed opens before, wrapped, wrapped by another key, and in the clear again.
func TestWrappedKeyFile(t *testing.T) {
	path, raw, sealed := newKeyFile(t)
	for _, ref := range []string{"hashivault://fairlead", "hashivault://other", "", "hashivault://fairlead"} {
		if err := director.WrapSealKey(t.Context(), path, ref); err != nil {
			t.Fatalf("%q: %v", ref, err)
		}
		if got, err := director.SealKeyReference(path); err != nil || got != ref {
			t.Errorf("the file names %q, %v", got, err)
		}
		if err := opens(t, path, sealed); err != nil {
			t.Errorf("%q: %v", ref, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, raw) != (ref == "") {
			t.Errorf("%q: whether the key stands in the file is wrong", ref)
		}
		if st, err := os.Stat(path); err != nil || st.Mode() != fs.FileMode(0o600) {
			t.Errorf("%q: mode %v, %v", ref, st.Mode(), err)
		}
	}
}

// TestRotation: a newer version of the service's key opens the file; wrapped anew, it needs the old one no more.
func TestRotation(t *testing.T) {
	path, _, sealed := newKeyFile(t)
	wrap := func() {
		t.Helper()
		if err := director.WrapSealKey(t.Context(), path, "hashivault://fairlead"); err != nil {
			t.Fatal(err)
		}
	}
	wrap()
	vault.newest["fairlead"] = 2
	if err := opens(t, path, sealed); err != nil {
		t.Fatalf("after the rotation: %v", err)
	}
	wrap()
	vault.oldest = 2
	if err := opens(t, path, sealed); err != nil {
		t.Errorf("without the old version: %v", err)
	}
}

// TestServiceFails: whatever the service does, the file stays as it was and opens when the service is itself again.
func TestServiceFails(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail func(w http.ResponseWriter) bool
		want string
	}{
		{"down", func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, "hashivault://fairlead"},
		{"sealed", func(w http.ResponseWriter) bool { refuse(w, 503, "Vault is sealed"); return true }, "Vault is sealed"},
		{"denies", func(w http.ResponseWriter) bool { refuse(w, 403, "permission denied"); return true }, "permission denied"},
		{"empty answer", func(w http.ResponseWriter) bool { _, _ = w.Write([]byte(`{"data":{}}`)); return true }, "an answer that is none"},
		{"garbage", func(w http.ResponseWriter) bool { _, _ = w.Write([]byte("<html>")); return true }, "hashivault://fairlead"},
		{"short key", func(w http.ResponseWriter) bool {
			_, _ = w.Write([]byte(`{"data":{"ciphertext":"vault:v1:x","plaintext":"c2hvcnQ="}}`))
			return true
		}, "instead of 32"},
		{"another key", func(w http.ResponseWriter) bool {
			_, _ = fmt.Fprintf(w, `{"data":{"ciphertext":"vault:v1:x","plaintext":"%s"}}`, base64.StdEncoding.EncodeToString(make([]byte, 32)))
			return true
		}, "the file names"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path, raw, sealed := newKeyFile(t)
			vault.fail = tc.fail
			err := director.WrapSealKey(t.Context(), path, "hashivault://fairlead")
			if err == nil || !strings.Contains(err.Error(), "stays as it is") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("wrapping: %v", err)
			}
			if now, _ := os.ReadFile(path); !bytes.Equal(now, raw) {
				t.Fatal("the file has changed")
			}
			vault.fail = nil
			if err := director.WrapSealKey(t.Context(), path, "hashivault://fairlead"); err != nil {
				t.Fatal(err)
			}
			wrapped, _ := os.ReadFile(path)
			vault.fail = tc.fail
			if _, err := director.LoadSealKey(path); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("loading: %v", err)
			}
			if err := director.WrapSealKey(t.Context(), path, ""); err == nil {
				t.Error("unwrapped without the service")
			}
			if now, _ := os.ReadFile(path); !bytes.Equal(now, wrapped) {
				t.Fatal("the file has changed")
			}
			vault.fail = nil
			if err := opens(t, path, sealed); err != nil {
				t.Errorf("when the service is back: %v", err)
			}
		})
	}
}
