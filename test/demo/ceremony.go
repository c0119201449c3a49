package main

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"time"
)

// A person has a folder of their own, which stands for a machine of their own: only bundles and public keys leave it.
// The passphrase is random and lives for the demo only.
func (d *demo) person(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(d.path("people", name), 0o700); err != nil {
			return err
		}
		secret := d.path("people", name, "passphrase")
		if err := os.WriteFile(secret, []byte(rand.Text()), 0o600); err != nil {
			return err
		}
		if _, err := d.tool(ctx, nil, "fairlead-sign", "key", "new", "--passphrase-file", secret, d.key(name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) key(name string) string { return d.path("people", name, name) }

// sign lets people sign a bundle, one after the other.
func (d *demo) sign(ctx context.Context, bundle string, names ...string) error {
	for _, name := range names {
		_, err := d.tool(ctx, nil, "fairlead-sign", "sign", "--yes", "--key", d.key(name)+".key",
			"--passphrase-file", d.path("people", name, "passphrase"), bundle)
		if err != nil {
			return err
		}
		d.say("%s signed", name)
	}
	return nil
}

// pub repeats a flag with the public keys of people.
func (d *demo) pub(flag string, names ...string) []string {
	var args []string
	for _, name := range names {
		args = append(args, flag, d.key(name)+".pub")
	}
	return args
}

// holdCeremony makes the repository's online keys and the root that names them, signed by two people of three.
func (d *demo) holdCeremony(ctx context.Context) error {
	d.chapter("Ceremony: a root that needs two people of three")
	if err := d.person(ctx, "alice", "bob", "carol"); err != nil {
		return err
	}
	repo := d.path("repo")
	if _, err := d.tool(ctx, nil, "fairlead-repo", "init", "--repo", repo, "--log", "fw.example.com/releases"); err != nil {
		return err
	}
	args := []string{"root", "new", "--out", d.path("first"), "--root-threshold", "2", "--targets-threshold", "2",
		"--timestamp-key", repo + "/state/keys/timestamp.pub", "--snapshot-key", repo + "/state/keys/snapshot.pub"}
	args = append(args, d.pub("--root-key", "alice", "bob", "carol")...)
	args = append(args, d.pub("--targets-key", "alice", "bob", "carol")...)
	if _, err := d.tool(ctx, nil, "fairlead-sign", args...); err != nil {
		return err
	}
	d.say("root and targets: keys of alice, bob, carol; threshold 2; timestamp and snapshot: the repository's own keys")
	if err := d.askForLog(ctx); err != nil {
		return err
	}
	if err := d.sign(ctx, d.path("first"), "alice"); err != nil {
		return err
	}
	_, err := d.tool(ctx, nil, "fairlead-repo", "publish", "--repo", repo, d.path("first"))
	d.expect(err != nil, "one signature of two is not enough to publish: %s", lastLine(err))
	if err := d.sign(ctx, d.path("first"), "carol"); err != nil {
		return err
	}
	return d.publish(ctx, "first")
}

// nameProduct delegates the product to two people, both of whom must sign each release.
func (d *demo) nameProduct(ctx context.Context) error {
	d.chapter("Product: %s, each release signed by two people of two", product)
	if err := d.person(ctx, "dora", "emil"); err != nil {
		return err
	}
	args := append([]string{"product", "add", "--repo", d.path("repo"), "--out", d.path("product"), "--threshold", "2"},
		d.pub("--key", "dora", "emil")...)
	if _, err := d.tool(ctx, nil, "fairlead-sign", append(args, product)...); err != nil {
		return err
	}
	if err := d.sign(ctx, d.path("product"), "alice", "bob"); err != nil {
		return err
	}
	return d.publish(ctx, "product")
}

// makeReleases builds, signs and publishes what the fleet begins with and what it is to have.
func (d *demo) makeReleases(ctx context.Context) error {
	d.chapter("Releases 1.0.0 and 1.1.0: build, sign, publish")
	for _, version := range []string{"1.0.0", "1.1.0"} {
		if err := d.release(ctx, version, hardware); err != nil {
			return err
		}
	}
	return nil
}

// release takes one image from the desk to the repository.
func (d *demo) release(ctx context.Context, version, hw string) error {
	bundle := "release-" + version
	_, err := d.tool(ctx, nil, "fairlead-sign", "release", "--repo", d.path("repo"), "--product", product,
		"--version", version, "--hardware", hw, "--image", d.images[version], "--patches", "0", "--no-chunks", "--out", d.path(bundle),
		"--key", d.key("dora")+".key", "--passphrase-file", d.path("people", "dora", "passphrase"))
	if err != nil {
		return err
	}
	d.say("%s built and signed by dora", version)
	if err := d.sign(ctx, d.path(bundle), "emil"); err != nil {
		return err
	}
	return d.publish(ctx, bundle)
}

func (d *demo) publish(ctx context.Context, bundle string) error {
	if _, err := d.tool(ctx, nil, "fairlead-repo", "publish", "--repo", d.path("repo"), d.path(bundle)); err != nil {
		return err
	}
	d.say("published %s", bundle)
	return nil
}

// askForLog starts a witness, and lets the targets role name a policy: no device takes a release that does not stand in
// the repository's log, seen by the witness.
func (d *demo) askForLog(ctx context.Context) error {
	policy, err := os.ReadFile(d.path("repo", "state", "log", "policy.txt"))
	if err != nil {
		return err
	}
	shown, err := os.Create(d.path("witness.out"))
	if err != nil {
		return err
	}
	defer shown.Close()
	d.witness, err = d.start("fairlead-repo", shown, "witness", "--dir", d.path("witness"), "--name", "witness.example.net/fw",
		"--policy", d.path("repo", "state", "log", "policy.txt"), "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var line string
	err = d.until(ctx, 10*time.Second, "the witness to start", func() (bool, error) {
		text, err := os.ReadFile(shown.Name())
		line = strings.TrimSpace(string(text))
		return strings.HasSuffix(string(text), "\n"), err
	})
	if err != nil {
		return err
	}
	text := strings.Replace(string(policy), "quorum none", strings.Replace(line, "witness NAME", "witness w", 1)+"\nquorum w", 1)
	if err := os.WriteFile(d.path("policy.txt"), []byte(text), 0o644); err != nil {
		return err
	}
	_, err = d.tool(ctx, nil, "fairlead-sign", "log-policy", d.path("policy.txt"), "--bundle", d.path("first"))
	d.say("log policy: releases must stand in the log of the repository, and a witness must have seen it")
	return err
}

// lastLine is the end of a tool's message: the refusal itself.
func lastLine(err error) string {
	if err == nil {
		return "no error"
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return lines[len(lines)-1]
}
