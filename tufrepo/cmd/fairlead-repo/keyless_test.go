package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest/keyless/keylesstest"
)

// TestKeyless types the commands of docs/operations.md, section Signed by whoever was logged in, into a shell, where a CI job has left its
// bundles; and then those of a stranger.
func TestKeyless(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n### Signed by whoever was logged in\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, commands, _ := strings.Cut(section, "\n```sh\n")
	commands, _, found := strings.Cut(commands, "\n```\n")
	if !found || !strings.Contains(commands, "--policy keyless-policy.json") {
		t.Fatal("no commands: where is the section?")
	}
	dir := t.TempDir()
	ciJob(t, dir)
	out, err := runScript(t, dir, beforeKeyless+commands+afterKeyless)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"published cam 1.1.0", "exit code 5", `says that it was signed by "intern@acme.example", logged in at "https://token.ci.example.net"`,
		`the provenance is signed by "intern@acme.example", logged in at "https://token.ci.example.net", and the policy wants it signed by "release@acme.example"`,
		"it has no attestation of type https://acme.example/tested/v1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// ciJob leaves an image, what was said of it, and the trusted root.
func ciJob(t *testing.T, dir string) {
	t.Helper()
	image := []byte(strings.Repeat("firmware ", 10_000))
	statement := func(kind string) []byte {
		return []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"rootfs.img","digest":{"sha256":"` + firmware.Sum(image).String() +
			`"}}],"predicateType":"` + kind + `","predicate":{"buildDefinition":{"buildType":"https://ci.example.net/image/v1","externalParameters":{}},` +
			`"runDetails":{"builder":{"id":"https://ci.example.net/builder"}}}}`)
	}
	s := keylesstest.New(t)
	const issuer, provenance = "https://token.ci.example.net", "https://slsa.dev/provenance/v1"
	for name, raw := range map[string][]byte{
		"rootfs.img":               image,
		"trusted_root.json":        s.TrustedRoot(keylesstest.Parts{}),
		"provenance.sigstore.json": s.Attest("release@acme.example", issuer, statement(provenance), time.Minute).JSON(t),
		"tested.sigstore.json":     s.Attest("night@acme.example", issuer, statement("https://acme.example/tested/v1"), time.Minute).JSON(t),
		"intern.sigstore.json":     s.Attest("intern@acme.example", issuer, statement(provenance), time.Minute).JSON(t),
		"signed.sigstore.json":     s.Sign("release@acme.example", issuer, image).JSON(t),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const beforeKeyless = `set -e
for key in root dora; do fairlead-sign key new $key --no-passphrase; done
fairlead-repo init --repo repo
fairlead-sign root new --out first --root-key root.pub --targets-key root.pub --snapshot-key repo/state/keys/snapshot.pub --timestamp-key repo/state/keys/timestamp.pub
fairlead-sign product add cam --bundle first --key dora.pub
fairlead-sign sign first --key root.key --yes
fairlead-repo publish --repo repo first
`

const afterKeyless = `
fairlead-sign inspect intern.sigstore.json
fairlead-sign release --repo repo --product cam --version 1.2.0 --hardware cam-rev-b --image rootfs.img --out release-1.2.0 \
  --key dora.key --provenance intern.sigstore.json --attestation signed.sigstore.json
code=0
fairlead-repo publish --repo repo --policy keyless-policy.json release-1.2.0 || code=$?
echo "exit code $code"
`
