package report

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var page embed.FS

// WriteHTML writes one page that needs nothing else.
func (r *Run) WriteHTML(w io.Writer) error {
	t, err := template.New("page.html").Funcs(template.FuncMap{
		"bytes": Bytes, "seconds": Seconds, "perUnit": func(v float64, n int) float64 { return v / float64(max(n, 1)) }, "number": number, "plots": plots, "bars": histogram,
		"failures": func(r *Run) []Failure { return r.Failures() }, "passed": func(r *Run) bool { return r.OK() },
		"when": func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
	}).ParseFS(page, "page.html")
	if err != nil {
		return fmt.Errorf("making the report: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// WriteJSON writes all that is known.
func (r *Run) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// Bytes is a number of bytes for people.
func Bytes(n any) string {
	v := float(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 || unit == "GiB" {
			if unit == "B" {
				return fmt.Sprintf("%.0f B", v)
			}
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1024
	}
	return ""
}

// Seconds is a time for people.
func Seconds(n any) string {
	v := float(n)
	switch {
	case v < 1:
		return fmt.Sprintf("%.0f ms", 1000*v)
	case v < 120:
		return fmt.Sprintf("%.1f s", v)
	}
	return fmt.Sprintf("%.1f min", v/60)
}

func number(n any) string { return fmt.Sprintf("%.4g", float(n)) }

func float(n any) float64 {
	switch v := n.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
