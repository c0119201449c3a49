package cmdline

import (
	"slices"
	"strings"
	"testing"

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
