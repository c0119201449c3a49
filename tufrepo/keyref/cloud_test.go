//go:build kms

package keyref_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
)

// These tests play the services at the level of HTTP, as their documentation has it; the clients are the providers' own.

// cloudSigns is what a service does in the end.
func cloudSigns(t *testing.T, key crypto.Signer, input []byte, hash crypto.Hash) string {
	sig, err := key.Sign(rand.Reader, input, hash)
	if err != nil {
		t.Error(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// vault plays Vault's transit engine with one key, which signs with used.
func vault(t *testing.T, key, used crypto.Signer, trouble string) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/transit/keys/firmware", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != "s.secret" {
			http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
			return
		}
		name, public := "P-256", ""
		if pub, ok := key.Public().(ed25519.PublicKey); ok {
			name, public = "ed25519", base64.StdEncoding.EncodeToString(pub)
		} else {
			pem, _ := cryptoutils.MarshalPublicKeyToPEM(key.Public())
			public = string(pem)
		}
		json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{
			"latest_version": 1, "keys": map[string]any{"1": map[string]any{"name": name, "public_key": public}},
		}})
	})
	sign := func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Input     []byte `json:"input"`
			Prehashed bool   `json:"prehashed"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		hash := crypto.Hash(0)
		if body.Prehashed {
			hash = crypto.SHA256
		}
		switch trouble {
		case "denied":
			http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		case "hangs":
			<-release
		case "null":
			w.Write([]byte(`null`))
		default:
			json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"signature": "vault:v1:" + cloudSigns(t, used, body.Input, hash)}})
		}
	}
	mux.HandleFunc("PUT /v1/transit/sign/firmware", sign)
	mux.HandleFunc("PUT /v1/transit/sign/firmware/sha2-256", sign)
	s := httptest.NewServer(mux)
	t.Cleanup(func() { close(release); s.CloseClientConnections(); s.Close() })
	t.Setenv("VAULT_ADDR", s.URL)
	t.Setenv("VAULT_TOKEN", "s.secret")
}

func generate(t *testing.T, alg keyfile.Algorithm) crypto.Signer {
	key, err := keyfile.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestVault(t *testing.T) {
	for _, alg := range []keyfile.Algorithm{keyfile.ECDSAP256, keyfile.Ed25519} {
		key, other := generate(t, alg), generate(t, alg)
		for name, tc := range map[string]struct {
			used    crypto.Signer
			trouble string
			want    string
		}{
			"honest":      {key, "", ""},
			"another key": {other, "", "does not verify"},
			"denied":      {key, "denied", "permission denied"},
			"hangs":       {key, "hangs", "did not answer within 300ms"},
			"null":        {key, "null", "key hashivault://firmware: "},
		} {
			t.Run(string(alg)+"/"+name, func(t *testing.T) {
				vault(t, key, tc.used, tc.trouble)
				limit := 10 * time.Second
				if tc.trouble == "hangs" {
					limit = 300 * time.Millisecond
				}
				k, err := keyref.Open(context.Background(), "hashivault://firmware", keyref.Options{Limit: limit})
				if err != nil {
					t.Fatal(err)
				}
				sig, err := k.SignMessage(strings.NewReader("release"))
				if tc.want == "" && err != nil {
					t.Fatal(err)
				}
				if tc.want != "" && (err == nil || sig != nil || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("%d bytes, %v; want it to say %q", len(sig), err, tc.want)
				}
			})
		}
	}
}

func TestVaultWithoutAToken(t *testing.T) {
	key := generate(t, keyfile.Ed25519)
	vault(t, key, key, "")
	t.Setenv("VAULT_TOKEN", "s.guess")
	if _, err := keyref.Open(context.Background(), "hashivault://firmware", keyref.Options{}); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%v", err)
	}
}

// aws plays AWS KMS with one key on P-256, which signs with used.
func aws(t *testing.T, key, used crypto.Signer) (endpoint string) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Message []byte }
		json.NewDecoder(r.Body).Decode(&body)
		var answer any
		switch _, method, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); method {
		case "GetPublicKey":
			der, _ := x509.MarshalPKIXPublicKey(key.Public())
			answer = map[string]any{"PublicKey": der, "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": []string{"ECDSA_SHA_256"}}
		case "DescribeKey":
			answer = map[string]any{"KeyMetadata": map[string]any{"KeyId": "1", "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": []string{"ECDSA_SHA_256"}}}
		case "Sign":
			answer = map[string]any{"Signature": cloudSigns(t, used, body.Message, crypto.SHA256)}
		default:
			t.Errorf("asked for %s", method)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_CA_BUNDLE": ca, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	return strings.TrimPrefix(s.URL, "https://")
}

func TestAWS(t *testing.T) {
	key, other := generate(t, keyfile.ECDSAP256), generate(t, keyfile.ECDSAP256)
	for _, used := range []crypto.Signer{key, other} {
		ref := "awskms://" + aws(t, key, used) + "/alias/firmware"
		k, err := keyref.Open(context.Background(), ref, keyref.Options{Limit: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.SignMessage(strings.NewReader("release"))
		if honest := used == key; honest && err != nil || !honest && !errors.Is(err, keyfile.ErrSignature) {
			t.Errorf("honest %v: %v", honest, err)
		}
	}
}

// The others are built in and tell what they lack; no server of theirs is played.
func TestAllProvidersAreThere(t *testing.T) {
	for _, ref := range []string{"gcpkms://nowhere", "azurekms://nowhere", "hashivault://", "awskms://nowhere"} {
		_, err := keyref.Open(context.Background(), ref, keyref.Options{Limit: 10 * time.Second})
		if err == nil || errors.Is(err, keyref.ErrReference) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := keyref.Open(context.Background(), "openbao://x", keyref.Options{}); !errors.Is(err, keyref.ErrReference) {
		t.Errorf("a scheme that is not listed: %v", err)
	}
}
