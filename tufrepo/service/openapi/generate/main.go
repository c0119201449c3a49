// Command generate writes openapi.json; see package openapi.
package main

import (
	"fmt"
	"os"

	"github.com/fairlead/fairlead/tufrepo/service"
)

func main() {
	b, err := service.Describe()
	if err == nil {
		err = os.WriteFile("openapi.json", b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}
