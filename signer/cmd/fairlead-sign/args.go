package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
)

// flagsFirst moves the flags of a command before its other arguments, because the flag package stops at the first
// argument that is no flag, and people write both orders.
func flagsFirst(app *cli.App, args []string) []string {
	commands, depth := app.Commands, 1
	var command *cli.Command
	for depth < len(args) {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[depth]) })
		if i < 0 {
			break
		}
		command, commands, depth = commands[i], commands[i].Subcommands, depth+1
	}
	if command == nil || len(command.Subcommands) > 0 {
		return args
	}
	out, rest := slices.Clone(args[:depth]), []string{}
	for i := depth; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			rest, i = append(rest, args[i+1:]...), len(args)
		case !strings.HasPrefix(arg, "-") || arg == "-":
			rest = append(rest, arg)
		default:
			out = append(out, arg)
			if takesValue(command, arg) && i+1 < len(args) {
				i++
				out = append(out, args[i])
			}
		}
	}
	return append(append(out, "--"), rest...)
}

// takesValue reports whether the argument after arg is its value.
func takesValue(command *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	for _, f := range command.Flags {
		if _, isBool := f.(*cli.BoolFlag); !isBool && slices.Contains(f.Names(), name) {
			return true
		}
	}
	return false
}

// maxLifetime keeps a slip of the finger from making metadata that never expires.
const maxLifetime = 10 * 365 * 24 * time.Hour

// lifetime reads --expires.
func lifetime(c *cli.Context) (time.Duration, error) {
	text := c.String("expires")
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n < 100_000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d < time.Second || d > maxLifetime {
		return 0, usage("--expires %q: give a time from 1s to %dd, such as 365d or 36h", text, int(maxLifetime.Hours()/24))
	}
	return d, nil
}

// publicKeys reads the key files of a flag.
func publicKeys(c *cli.Context, flag string) ([]signer.Public, error) {
	var keys []signer.Public
	for _, path := range c.StringSlice(flag) {
		key, err := signer.LoadPublic(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// roleKeys reads a role's keys and threshold. With several keys the threshold has no default: it is what the
// ceremony is about.
func roleKeys(c *cli.Context, keyFlag, thresholdFlag string) (signer.Keys, error) {
	keys, err := publicKeys(c, keyFlag)
	if err != nil {
		return signer.Keys{}, err
	}
	if len(keys) == 0 {
		return signer.Keys{}, usage("--%s is missing", keyFlag)
	}
	if len(keys) > 1 && !c.IsSet(thresholdFlag) {
		return signer.Keys{}, usage("--%s is missing: how many of the %d keys must sign?", thresholdFlag, len(keys))
	}
	return signer.Keys{Keys: keys, Threshold: c.Int(thresholdFlag)}, nil
}
