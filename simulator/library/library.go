// Package library holds scenarios that are ready, under names that one would search for. Each is a file that can be printed, changed
// and run from a file of one's own.
package library

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/fairlead/fairlead/simulator/scenario"
)

//go:embed *.yaml
var files embed.FS

// Names are the scenarios, in the order of the alphabet.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // it is part of the program
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return names
}

// Text is the file of a scenario.
func Text(name string) ([]byte, error) {
	b, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("there is no ready scenario %q: there are %s; a path with a / or .yaml is a file", name, strings.Join(Names(), ", "))
	}
	return b, nil
}

// Load reads a scenario.
func Load(name string) (*scenario.Scenario, error) {
	b, err := Text(name)
	if err != nil {
		return nil, err
	}
	return scenario.Parse(b, name+".yaml", ".")
}
