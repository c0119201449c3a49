package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/simulator/library"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// load finds a scenario by its name, or in a file.
func load(name string) (*scenario.Scenario, error) {
	if isFile(name) {
		return scenario.Load(name)
	}
	s, err := library.Load(name)
	if err != nil {
		err = fmt.Errorf("%w: %w", errUsage, err)
	}
	return s, err
}

func isFile(name string) bool {
	return strings.ContainsAny(name, "/") || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "the ready scenarios", OnUsageError: onUsageError,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *cli.Context) error {
			if _, err := arguments(c); err != nil {
				return err
			}
			type item struct {
				Name  string `json:"name"`
				Units int    `json:"units"`
				About string `json:"about"`
			}
			var all []item
			for _, name := range library.Names() {
				s, err := library.Load(name)
				if err != nil {
					return err
				}
				all = append(all, item{s.Name, s.Units, s.About})
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(all)
			}
			t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
			for _, i := range all {
				fmt.Fprintf(t, "%s\t%d units\t%s\n", i.Name, i.Units, i.About)
			}
			return t.Flush()
		},
	}
}

func showCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "print the file of a ready scenario, or with --keys all that a file may say", ArgsUsage: "NAME", OnUsageError: onUsageError,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "keys", Usage: "every key of a scenario, with examples"}},
		Action: func(c *cli.Context) error {
			if c.Bool("keys") {
				_, err := fmt.Fprint(c.App.Writer, scenario.Keys)
				return err
			}
			args, err := arguments(c, "NAME")
			if err != nil {
				return err
			}
			b, err := library.Text(args[0])
			if isFile(args[0]) {
				b, err = os.ReadFile(args[0])
			}
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(b)
			return err
		},
	}
}

func checkCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "say whether a scenario could be carried out", ArgsUsage: "FILE", OnUsageError: onUsageError,
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "FILE")
			if err != nil {
				return err
			}
			s, err := load(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.Writer, "%s: %d units, %d releases, %d events, %d expectations: fine\n", s.Name, s.Units, len(s.Releases), len(s.Events), len(s.Expect))
			return err
		},
	}
}

func compareCommand() *cli.Command {
	return &cli.Command{
		Name: "compare", Usage: "set two reports side by side", ArgsUsage: "A B", OnUsageError: onUsageError,
		Description: "A and B are folders of reports, or their report.json.\n\n  fairlead-sim compare before after",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "A", "B")
			if err != nil {
				return err
			}
			a, err := report.Read(args[0])
			if err != nil {
				return err
			}
			b, err := report.Read(args[1])
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(report.Compare(a, b))
			}
			return report.WriteComparison(c.App.Writer, a, b)
		},
	}
}
