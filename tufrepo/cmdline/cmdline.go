// Package cmdline is what the tools of engineers and operators share at the command line: flags in any place, messages
// that are safe to print, progress on long work.
package cmdline

import (
	"slices"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"
)

// FlagsFirst moves the flags of a command before its other arguments: the flag package stops at the first argument that
// is no flag, and people write both orders. args begins with the program's name.
func FlagsFirst(app *cli.App, args []string) []string {
	command, depth := findCommand(app.Commands, args)
	if command == nil || len(command.Subcommands) > 0 {
		return args
	}
	flags, rest := slices.Clone(args[:depth]), []string{}
	for i := depth; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return append(append(append(flags, "--"), rest...), args[i+1:]...)
		case !strings.HasPrefix(arg, "-") || arg == "-":
			rest = append(rest, arg)
		case takesValue(command, arg) && i+1 < len(args):
			flags = append(flags, arg, args[i+1])
			i++
		default:
			flags = append(flags, arg)
		}
	}
	return append(append(flags, "--"), rest...)
}

// findCommand follows the names of commands; depth is where its arguments begin.
func findCommand(commands []*cli.Command, args []string) (command *cli.Command, depth int) {
	for depth = 1; depth < len(args); depth++ {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[depth]) })
		if i < 0 {
			break
		}
		command, commands = commands[i], commands[i].Subcommands
	}
	return command, depth
}

// takesValue reports whether the argument after arg is its value.
func takesValue(command *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	return slices.ContainsFunc(command.Flags, func(f cli.Flag) bool {
		_, isBool := f.(*cli.BoolFlag)
		return !isBool && slices.Contains(f.Names(), name)
	})
}

// Printable keeps what a damaged or hostile file brought into a message from acting on the terminal.
func Printable(message string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.C, r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, message)
}
