package cmdline

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

func TestFlagsFirst(t *testing.T) {
	app := &cli.App{Commands: []*cli.Command{{Name: "key", Subcommands: []*cli.Command{{Name: "new", Flags: []cli.Flag{
		&cli.StringFlag{Name: "type", Aliases: []string{"t"}}, &cli.BoolFlag{Name: "json"},
	}}}}}}
	for _, test := range []struct{ give, want string }{
		{"x key new alice --type ed25519", "x key new --type ed25519 -- alice"},
		{"x key new alice -t ed25519 --json bob", "x key new -t ed25519 --json -- alice bob"},
		{"x key new --type=ed25519 alice", "x key new --type=ed25519 -- alice"},
		{"x key new alice -- --type", "x key new -- alice --type"},
		{"x key new - --json", "x key new --json -- -"},
		{"x key --help", "x key --help"},
		{"x nothing --json", "x nothing --json"},
		{"x", "x"},
	} {
		if got := FlagsFirst(app, strings.Fields(test.give)); !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("%q becomes %q, want %q", test.give, got, test.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := Printable("a\x1b[2Jb\nc\u202e"); got != "a\ufffd[2Jb\nc\ufffd" {
		t.Errorf("got %q", got)
	}
}

func TestProgress(t *testing.T) {
	var shown strings.Builder
	now := time.Unix(1e9, 0)
	p := &Progress{w: &shown, label: "copying", now: func() time.Time { return now }, tenth: -1}
	for _, at := range []struct {
		second float64
		done   int64
	}{{0, 0}, {0.5, 10}, {2, 20}, {2, 21}, {61, 99}, {70, 100}} {
		now = time.Unix(1e9, 0).Add(time.Duration(at.second * float64(time.Second)))
		p.Report()(at.done<<20, 100<<20)
	}
	want := `copying:   0 % of 100.0 MiB
copying:  10 % of 100.0 MiB
copying:  20 % of 100.0 MiB, 10.0 MiB/s, 8s left
copying:  99 % of 100.0 MiB, 1.6 MiB/s, 1s left
copying: 100 % of 100.0 MiB, 1.4 MiB/s
`
	if shown.String() != want {
		t.Errorf("shown:\n%swant:\n%s", &shown, want)
	}
}
