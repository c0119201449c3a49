package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves the flags of a command before its other arguments: the flag package stops at the first argument
// that is no flag, and people write both orders.
func flagsFirst(app *cli.App, args []string) []string {
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
