package report

import (
	"encoding/csv"
	"fmt"
	"io"
)

// WriteCSV writes a line for every update of every unit.
func (r *Run) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"unit", "kind", "from", "to", "state", "reason", "seconds", "fetched_bytes", "written_bytes", "starts", "power_cuts", "put_off", "interrupted", "detail"}}
	for _, u := range r.Results {
		rows = append(rows, []string{u.Unit, u.Kind, u.From, u.To, u.State, u.Reason, fmt.Sprintf("%.3f", u.Seconds), fmt.Sprint(u.Fetched),
			fmt.Sprint(u.Written), fmt.Sprint(u.Starts), fmt.Sprint(u.Cuts), fmt.Sprint(u.PutOff), fmt.Sprint(u.Interrupted), u.Detail})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}
