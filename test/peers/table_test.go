package peers

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// table is printed when all its rows are there.
type table struct {
	title string
	head  []string
	rows  [][]string
	notes []string
}

func newTable(title string, head ...string) *table { return &table{title: title, head: head} }

// add adds a row; numbers become text as a reader wants them.
func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = cell(c)
	}
	t.rows = append(t.rows, row)
}

func cell(v any) string {
	switch v := v.(type) {
	case ratio:
		return fmt.Sprintf("%.3f", float64(v))
	case time.Duration:
		return fmt.Sprintf("%.2f", v.Seconds())
	case mib:
		return fmt.Sprintf("%.1f", float64(v)/(1<<20))
	}
	return fmt.Sprint(v)
}

// ratio is printed with three decimals, mib is bytes printed in MiB.
type (
	ratio float64
	mib   int64
)

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// print writes the table to stdout. A benchmark's line may be half written there.
func (t *table) print() {
	if len(t.rows) == 0 {
		return
	}
	fmt.Printf("\n\n%s\n\n", t.title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	for _, n := range t.notes {
		fmt.Println("-", n)
	}
	fmt.Println()
}
