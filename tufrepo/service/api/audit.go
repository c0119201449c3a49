package api

import (
	"encoding/json"
	"time"
)

// AuditEntry is one entry of an audit log.
type AuditEntry struct {
	Seq     int64           `json:"seq"`
	Time    time.Time       `json:"time"`
	Actor   string          `json:"actor"` // kind/id: "token/k3v9x0a2bq", "device/9f0c…", "system/seal", "nobody"
	Role    string          `json:"role,omitempty"`
	Action  string          `json:"action"`
	Object  string          `json:"object,omitempty"`
	Outcome string          `json:"outcome"`          // ok, refused, failed
	Source  string          `json:"source,omitempty"` // address that it came from
	Detail  json.RawMessage `json:"detail,omitempty"`
}

// AuditEntries is a list, the newest first; Next, if not zero, is the value of ?before for the
// rest.
type AuditEntries struct {
	Entries []AuditEntry `json:"entries"`
	Next    int64        `json:"next,omitempty"`
}

// AuditHeads is what rows of an export are checked against: audit.Verify.
type AuditHeads struct {
	Chain string            `json:"chain"`
	From  AuditBoundary     `json:"from"`
	Heads []json.RawMessage `json:"heads"` // signed heads, as they were signed, by day
	Keys  []string          `json:"keys"`  // PEM, the public keys of this service
}

// AuditBoundary is what the first row that is left follows on; zero where none were erased.
type AuditBoundary struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"` // hex
}

// AuditSpan is a range of row numbers, both included.
type AuditSpan struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// AuditFinding is one thing that is wrong with an audit log.
type AuditFinding struct {
	Fault  string    `json:"fault"`
	Rows   AuditSpan `json:"rows"`
	Detail string    `json:"detail"`
}

// AuditReport is what a check has found.
type AuditReport struct {
	Chain    string         `json:"chain"`
	Whole    bool           `json:"whole"` // nothing was found
	Rows     int64          `json:"rows"`  // that were read
	After    int64          `json:"after"` // rows up to this number were erased by the rules
	Last     int64          `json:"last"`
	Heads    int            `json:"heads"`         // signed heads that agree
	Sealed   int64          `json:"sealed"`        // the row of the newest of them
	Day      string         `json:"day,omitempty"` // and its day
	Proven   []AuditSpan    `json:"proven"`        // rows that a signed head vouches for
	Findings []AuditFinding `json:"findings"`
	Text     string         `json:"text"` // all of it for people
}
