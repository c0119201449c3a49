package main

import (
	"fmt"
	"io"
	"math/bits"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
)

func deltaCommand() *cli.Command {
	from := &cli.StringFlag{Name: "from", Usage: "old image, a `FILE` or block device"}
	return group("delta", "patches, which turn one image into another",
		command("create", "make the patch from an old image to a new one", " ",
			`A release gets its patches from the command release; this is for trying out.
It takes about as much memory as the old image has bytes.

  fairlead-sign delta create --from old.img --to new.img --out new.flp`,
			[]cli.Flag{
				from,
				&cli.StringFlag{Name: "to", Usage: "new image, a `FILE` or block device"},
				&cli.StringFlag{Name: "out", Usage: "patch `FILE` to make"},
				&cli.StringFlag{Name: "frame-size", Usage: "`BYTES` that a device decodes at once, 64K to 4M, a power of two; it needs about twice as much memory",
					DefaultText: "2M"},
				cmdline.ProgressFlag(), jsonFlag(),
			}, deltaCreate),
		command("apply", "make the new image of an old one and a patch", " ",
			`Every frame is compared with the patch before it is written. Frames of zeros become holes.

  fairlead-sign delta apply --from old.img --patch new.flp --out new.img
  fairlead-sign delta apply --from /dev/sda2 --patch new.flp --out new.img --check-base`,
			[]cli.Flag{
				from,
				&cli.StringFlag{Name: "patch", Usage: "patch `FILE`"},
				&cli.StringFlag{Name: "out", Usage: "image `FILE` to make"},
				&cli.BoolFlag{Name: "check-base", Usage: "compare the old image's SHA-256 first, instead of finding out on the way"},
				cmdline.ProgressFlag(), jsonFlag(),
			}, deltaApply),
		command("inspect", "show a patch: its base, its frames, what takes the most", "PATCH",
			`  fairlead-sign delta inspect new.flp`,
			[]cli.Flag{jsonFlag()}, deltaInspect),
	)
}

func deltaCreate(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	if err := required(c, "from", "to", "out"); err != nil {
		return err
	}
	size, err := frameSize(c)
	if err != nil {
		return err
	}
	out := c.String("out")
	p := cmdline.NewProgress(c, "making "+out)
	_, err = delta.CreateFile(c.Context, c.String("from"), c.String("to"), out, delta.Options{FrameSize: size, Progress: p.Report()})
	p.End()
	if err != nil {
		return err
	}
	return showPatch(c, out)
}

// frameSize reads --frame-size; 0 if it is not given.
func frameSize(c *cli.Context) (int, error) {
	text := c.String("frame-size")
	if text == "" {
		return 0, nil
	}
	digits, shift := text, 0
	if rest, ok := strings.CutSuffix(text, "K"); ok {
		digits, shift = rest, 10
	} else if rest, ok := strings.CutSuffix(text, "M"); ok {
		digits, shift = rest, 20
	}
	n, err := strconv.ParseUint(digits, 10, 24)
	if n <<= shift; err != nil || n < firmware.MinFrameSize || n > firmware.MaxFrameSize || bits.OnesCount64(n) != 1 {
		return 0, usage("--frame-size %q: give a power of two from 64K to 4M", text)
	}
	return int(n), nil
}

// applyLimit is the memory of Go in bytes, buffers not counted, at which delta apply begins to look for garbage. It makes
// nearly none, and looking for it takes more than there is.
const applyLimit = 24 << 20

func deltaApply(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	if err := required(c, "from", "patch", "out"); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(applyLimit)
		debug.SetGCPercent(-1)
	}
	out := c.String("out")
	p := cmdline.NewProgress(c, "making "+out)
	err := delta.ApplyFile(c.Context, c.String("from"), c.String("patch"), out,
		delta.ApplyOptions{CheckBase: c.Bool("check-base"), Progress: p.Report()})
	p.End()
	if err != nil {
		return err
	}
	return showImage(c, out)
}

func deltaInspect(c *cli.Context) error {
	args, err := arguments(c, "PATCH")
	if err != nil {
		return err
	}
	return showPatch(c, args[0])
}

func showPatch(c *cli.Context, path string) error {
	in, err := signer.Inspect(path, time.Now())
	if err != nil {
		return err
	}
	if in.Kind != signer.KindPatch {
		return usage("%s is not a patch but %s; use: inspect", path, in.Kind)
	}
	return show(c, in, in.WriteText)
}

// showImage tells of an image that was made.
func showImage(c *cli.Context, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	made := struct {
		Image  string `json:"image"`
		Length int64  `json:"length"`
	}{path, st.Size()}
	return show(c, made, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: image of %d bytes\n", made.Image, made.Length)
		return err
	})
}
