package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
)

func releaseCommand() *cli.Command {
	flags := append(baseFlags(), clockFlag(), outFlag(),
		&cli.StringFlag{Name: "image", Usage: "image `FILE` or block device"},
		&cli.StringFlag{Name: "product", Usage: "product that the release belongs to"},
		&cli.StringFlag{Name: "version", Usage: "its name, such as 1.1.0"},
		&cli.StringSliceFlag{Name: "hardware", Usage: "compatible string it is for; again for more"},
		&cli.Int64Flag{Name: "counter", Usage: "release counter", DefaultText: "one above the highest of the product"},
		&cli.StringFlag{Name: "channel", Usage: "channel that it begins in: dev, beta or stable; see promote", DefaultText: "stable"},
		&cli.StringFlag{Name: "min-agent", Usage: "least agent version, such as 1.2.0"},
		&cli.StringFlag{Name: "notes", Aliases: []string{"notes-file"}, TakesFile: true, Usage: "`FILE` with release notes, text of at most 16 KiB"},
		&cli.StringSliceFlag{Name: "sbom", Usage: "SBOM `FILE`, CycloneDX or SPDX as JSON; again for more"},
		&cli.StringFlag{Name: "sbom-from", Usage: "make an SBOM of the packages of the root file system in `DIR` (dpkg, apk, opkg)"},
		&cli.StringSliceFlag{Name: "vex", Usage: "OpenVEX `FILE`: which vulnerabilities do no harm in this release, and why; again for more"},
		&cli.StringSliceFlag{Name: "provenance", Usage: "`FILE` with SLSA provenance v1 of the image, in DSSE or in a Sigstore bundle; again for more"},
		&cli.StringSliceFlag{Name: "attestation", Usage: "`FILE` with another statement on the image, in DSSE or in a Sigstore bundle, or a bundle that signs the image; again for more"},
		&cli.IntFlag{Name: "keep", Usage: "list at most this many releases, the newest",
			DefaultText: fmt.Sprintf("once there are more than %d, the newest %d", signer.MaxTargets, signer.DefaultKeep)},
		&cli.StringSliceFlag{Name: "patch-from", Usage: "make a patch from this release, `VERSION`, or VERSION=IMAGE where the repository lacks its artifact; again for more"},
		&cli.IntFlag{Name: "patches", Usage: "make patches from this many of the newest releases whose artifacts the repository has",
			DefaultText: fmt.Sprintf("%d, or 0 with --patch-from", signer.DefaultPatches)},
		&cli.BoolFlag{Name: "no-chunks", Usage: "no chunks for devices without a patch, which take as much room as the artifact, and more"},
		&cli.StringSliceFlag{Name: "key", Usage: "sign at once with this private key, a file or another `REF`erence; again for more"},
		expiresFlag(), passphraseFlag(), keyTimeoutFlag(), cmdline.ProgressFlag(), jsonFlag())
	flags = append(flags, zstdFlags(zstdAuto)...)
	return command("release", "turn an image into a release, in a bundle", " ",
		`  fairlead-sign release --repo REPO --product cam --version 1.1.0 --hardware cam-rev-b \
      --image rootfs.img --out cam-1.1.0 --key dora.key

The other signers add theirs with: fairlead-sign sign cam-1.1.0 --key emil.key
They can do without its folder blobs.

Devices that run an earlier release fetch a patch where there is one. Patches are made from
the newest releases, or from those that are named. The old images are unpacked beside the
bundle, one at a time; making a patch takes about as much memory as the old image has bytes.
A patch that is not smaller than the artifact is left out. Devices that run something else
fetch those chunks of the new image that they do not find in the old one.

  fairlead-sign release --repo REPO ... --patch-from 1.0.0 --patch-from 0.9.0=old.img
  fairlead-sign release --repo REPO ... --patches 0

Large images take a while to compress. The program zstd, where PATH has one of version 1.4.4 or
later, takes half the time and is used; what it makes is decoded and compared with the image
before it is taken. That is said, with its version: the bytes of the artifact depend on it, those
of the image do not. Artifacts that are to be the same on all machines are made without:

  fairlead-sign release --repo REPO ... --zstd none

What is said of a release is attached to it: the manifest pins it, and a publish policy may want it.

  fairlead-sign release --repo REPO ... --sbom sbom.json --provenance provenance.json --notes notes.txt
  fairlead-sign release --repo REPO ... --sbom-from build/rootfs`,
		flags, release)
}

func release(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	if err := required(c, "repo", "out", "image", "product", "version", "hardware"); err != nil {
		return err
	}
	o := signer.ReleaseOptions{
		Out: c.String("out"), Image: c.String("image"), Product: c.String("product"), Version: c.String("version"),
		Hardware: c.StringSlice("hardware"), Counter: c.Int64("counter"), MinAgent: c.String("min-agent"), Keep: c.Int("keep"), NoChunks: c.Bool("no-chunks"),
	}
	if o.Channel = firmware.Channel(c.String("channel")); o.Channel != "" {
		if err := o.Channel.Check(); err != nil {
			return usage("--channel: %w", err)
		}
	}
	if err := patchFlags(c, &o); err != nil {
		return err
	}
	if c.IsSet("counter") && o.Counter < 1 || c.IsSet("keep") && o.Keep < 1 {
		return usage("--counter and --keep must be 1 or more")
	}
	if err := releaseInputs(c, &o); err != nil {
		return err
	}
	var err error
	if o.Zstd, err = zstdProgram(c, zstdAuto); err != nil {
		return err
	}
	steps := steps{Context: c}
	o.Progress, o.Now = steps.report, time.Now()
	draft, err := signer.NewRelease(c.Context, o)
	steps.end()
	if err != nil {
		return err
	}
	return showDraft(c, draft)
}

// patchFlags reads from what earlier releases there are to be patches.
func patchFlags(c *cli.Context, o *signer.ReleaseOptions) error {
	for _, given := range c.StringSlice("patch-from") {
		version, image, withImage := strings.Cut(given, "=")
		if version == "" || withImage && image == "" {
			return usage("--patch-from %q: give VERSION or VERSION=IMAGE", given)
		}
		if slices.ContainsFunc(o.PatchFrom, func(f signer.PatchFrom) bool { return f.Version == version }) {
			return usage("--patch-from %s is given twice", version)
		}
		o.PatchFrom = append(o.PatchFrom, signer.PatchFrom{Version: version, Image: image})
	}
	switch {
	case c.IsSet("patches"):
		o.Patches = c.Int("patches")
	case len(o.PatchFrom) == 0:
		o.Patches = signer.DefaultPatches
	}
	if o.Patches < 0 || len(o.PatchFrom)+o.Patches > signer.MaxPatches {
		return usage("--patches and --patch-from: a release has 0 to %d patches", signer.MaxPatches)
	}
	return nil
}

// steps shows the progress of work that has several parts, each under its own name.
type steps struct {
	*cli.Context
	what string
	bar  *cmdline.Progress
}

func (s *steps) report(what string, done, total int64) {
	if what != s.what {
		s.end()
		s.what, s.bar = what, cmdline.NewProgress(s.Context, what)
	}
	if report := s.bar.Report(); report != nil {
		report(done, total)
	}
}

func (s *steps) end() { s.bar.End() }

// releaseInputs reads the files that a release needs beside its image.
func releaseInputs(c *cli.Context, o *signer.ReleaseOptions) (err error) {
	if o.Lifetime, err = lifetime(c); err != nil {
		return err
	}
	if path := c.String("notes"); path != "" {
		if o.Notes, err = readNotes(path); err != nil {
			return err
		}
	}
	if o.Attachments, err = attachments(c); err != nil {
		return err
	}
	if o.Base, err = readBase(c); err != nil {
		return err
	}
	for _, path := range c.StringSlice("key") {
		key, err := loadSigner(c, path)
		if err != nil {
			return err
		}
		o.Keys = append(o.Keys, key)
	}
	return nil
}

// attachments reads what is said of the release, before the long work begins.
func attachments(c *cli.Context) ([]signer.Attachment, error) {
	var all []signer.Attachment
	add := func(a signer.Attachment, err error) error {
		all = append(all, a)
		return err
	}
	for _, path := range c.StringSlice("sbom") {
		if err := add(signer.ReadSBOM(path)); err != nil {
			return nil, err
		}
	}
	if dir := c.String("sbom-from"); dir != "" {
		if err := add(signer.MakeSBOM(dir, c.String("product"), c.String("version"))); err != nil {
			return nil, err
		}
	}
	for _, path := range c.StringSlice("provenance") {
		if err := add(signer.ReadProvenance(path)); err != nil {
			return nil, err
		}
	}
	for _, path := range c.StringSlice("attestation") {
		if err := add(signer.ReadAttestation(path)); err != nil {
			return nil, err
		}
	}
	for _, path := range c.StringSlice("vex") {
		if err := add(signer.ReadVEX(path)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readNotes reads no more than could ever be in a manifest.
func readNotes(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the notes: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, firmware.MaxManifest))
	if err != nil {
		return "", fmt.Errorf("reading the notes: %w", err)
	}
	return string(data), nil
}

// What --zstd takes beside programs.
const (
	zstdAuto = "auto" // zstd on PATH, if it is known
	zstdNone = "none" // the coder that is built in
)

func zstdFlags(byDefault string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "zstd", Usage: "compress the artifact with the `PROGRAM` zstd, a path or a name on PATH; auto: where there is one; none: with the coder that is built in",
			DefaultText: byDefault, EnvVars: []string{"FAIRLEAD_ZSTD"}},
		&cli.IntFlag{Name: "zstd-level", Usage: "its level, 1 to 19", Value: 9},
	}
}

// zstdProgram is the program that is to compress, or nil.
func zstdProgram(c *cli.Context, byDefault string) (*signer.ZstdProgram, error) {
	level := c.Int("zstd-level")
	if level < 1 || level > 19 {
		return nil, usage("--zstd-level %d: give 1 to 19", level)
	}
	switch program := cmp.Or(c.String("zstd"), byDefault); program {
	case zstdNone:
		if c.IsSet("zstd-level") {
			return nil, usage("--zstd-level is of no use without --zstd")
		}
		return nil, nil
	case zstdAuto:
		return signer.LookForZstd(c.Context, level), nil
	default:
		return signer.FindZstd(program, level)
	}
}

func artifactCommand() *cli.Command {
	return group("artifact", "images and artifacts",
		command("build", "turn an image into an artifact", "IMAGE ARTIFACT",
			`The same image always gives the same artifact; with --zstd, as long as the program is the same.

  fairlead-sign artifact build rootfs.img rootfs.fla
  fairlead-sign artifact build rootfs.img rootfs.fla --zstd zstd --zstd-level 19`,
			append(zstdFlags(zstdNone), cmdline.ProgressFlag(), jsonFlag()), artifactBuild),
		command("extract", "turn an artifact back into its image", "ARTIFACT IMAGE",
			`Every frame is compared with the index. Zeros become holes.

  fairlead-sign artifact extract rootfs.fla rootfs.img`,
			[]cli.Flag{cmdline.ProgressFlag(), jsonFlag()}, artifactExtract),
	)
}

func artifactBuild(c *cli.Context) error {
	args, err := arguments(c, "IMAGE", "ARTIFACT")
	if err != nil {
		return err
	}
	z, err := zstdProgram(c, zstdNone)
	if err != nil {
		return err
	}
	p := cmdline.NewProgress(c, "building "+args[1])
	_, err = firmware.EncodeFile(c.Context, args[0], args[1], z.EncodeOptions(p.Report()))
	p.End()
	if err != nil {
		return err
	}
	in, err := signer.Inspect(args[1], time.Now())
	if err != nil {
		return err
	}
	return show(c, in, in.WriteText)
}

func artifactExtract(c *cli.Context) error {
	args, err := arguments(c, "ARTIFACT", "IMAGE")
	if err != nil {
		return err
	}
	p := cmdline.NewProgress(c, "extracting "+args[1])
	err = firmware.DecodeFile(c.Context, args[0], args[1], p.Report())
	p.End()
	if err != nil {
		return err
	}
	return showImage(c, args[1])
}
