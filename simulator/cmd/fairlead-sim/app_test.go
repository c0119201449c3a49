package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	whole := []string{"fleet", "--service", "https://x", "--ca", "/no/ca", "--root", "r", "--claim-file", "c", "--product", "p",
		"--hardware", "h", "--image", "i", "--release", "1.0.0", "--dir", t.TempDir()}
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"missing flag":   {[]string{"fleet"}, 2, "--service is missing"},
		"unknown flag":   {[]string{"fleet", "--unit", "3"}, 2, "unit"},
		"stray argument": {append(whole[:len(whole):len(whole)], "x"), 2, "is not a flag"},
		"bad sickness":   {append(whole[:len(whole):len(whole)], "--sick", "unit-001"), 2, "UNIT=VERSION"},
		"sick stranger":  {append(whole[:len(whole):len(whole)], "--sick", "unit-021=1.1.0"), 2, "there is no unit-021"},
		"missing file":   {whole, 1, "ca: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := newApp(&out, &out).RunContext(t.Context(), append([]string{"fairlead-sim"}, test.args...))
			if err == nil {
				t.Fatal("no error")
			}
			if code := exitCode(err); code != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("exit code %d, %v; want %d, %q", code, err, test.code, test.want)
			}
		})
	}
}
