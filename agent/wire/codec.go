package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fairlead/fairlead/firmware/strictjson"
)

// Message is every message of this package: what can be checked, encoded and decoded.
type Message interface {
	Event | Reported | Presence | Progress | Cmd | Reply |
		EnrollRequest | EnrollResponse | Reports | ReportsAck | ErrorBody
	check() error
}

// Encode makes the JSON of m. It fails for what the other side would refuse.
func Encode[M Message](m M) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if limit := limitOf(m); len(out) > limit {
		return nil, fmt.Errorf("encode %T: %d bytes are more than %d", m, len(out), limit)
	}
	return out, nil
}

func decode[M Message](b []byte) (M, error) {
	var m, zero M
	if err := strictjson.Decode(b, strictjson.Options{MaxBytes: limitOf(m)}, &m); err != nil {
		return zero, fmt.Errorf("decode %T: %w", m, err)
	}
	if err := m.check(); err != nil {
		return zero, fmt.Errorf("decode %T: %w", m, err)
	}
	return m, nil
}

func limitOf(m any) int {
	switch m.(type) {
	case Event:
		return MaxEvent
	case Reported:
		return MaxReported
	case Reports, EnrollRequest:
		return MaxPayload
	case EnrollResponse:
		return MaxEnrollResponse
	}
	return MaxSmall
}

// The decoders take foreign bytes. What they return is complete and within the limits;
// the error says which member is wrong.

func DecodeEvent(b []byte) (Event, error)                   { return decode[Event](b) }
func DecodeReported(b []byte) (Reported, error)             { return decode[Reported](b) }
func DecodePresence(b []byte) (Presence, error)             { return decode[Presence](b) }
func DecodeProgress(b []byte) (Progress, error)             { return decode[Progress](b) }
func DecodeCmd(b []byte) (Cmd, error)                       { return decode[Cmd](b) }
func DecodeReply(b []byte) (Reply, error)                   { return decode[Reply](b) }
func DecodeEnrollRequest(b []byte) (EnrollRequest, error)   { return decode[EnrollRequest](b) }
func DecodeEnrollResponse(b []byte) (EnrollResponse, error) { return decode[EnrollResponse](b) }
func DecodeReports(b []byte) (Reports, error)               { return decode[Reports](b) }
func DecodeReportsAck(b []byte) (ReportsAck, error)         { return decode[ReportsAck](b) }
func DecodeError(b []byte) (ErrorBody, error)               { return decode[ErrorBody](b) }

// Text makes s fit for Detail and LastError: one line of printable UTF-8, cut to MaxText
// bytes. It keeps the end when it cuts, where the reason usually stands.
func Text(s string) string {
	s = strings.Join(strings.Fields(strings.Map(printable, strings.ToValidUTF8(s, "?"))), " ")
	if len(s) <= MaxText {
		return s
	}
	const mark = "... "
	s = s[len(s)-MaxText+len(mark):]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return mark + s
}

func printable(r rune) rune {
	if unprintable(r) {
		return ' '
	}
	return r
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func text(field, s string) error { return bounded(field, s, MaxText) }

func bounded(field, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%s must have at most %d bytes, it has %d", field, limit, len(s))
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unprintable) {
		return fmt.Errorf("%s must be one line of printable UTF-8", field)
	}
	return nil
}

func need(field, s string) error {
	if s == "" {
		return fmt.Errorf("%s is missing", field)
	}
	return bounded(field, s, MaxName)
}

// names checks pairs of field and value.
func names(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := bounded(pairs[i], pairs[i+1], MaxName); err != nil {
			return err
		}
	}
	return nil
}

func atLeast(field string, n, least int64) error {
	if n < least {
		return fmt.Errorf("%s must be at least %d, it is %d", field, least, n)
	}
	return nil
}

// checkTime refuses what RFC 3339 cannot write, and the zero time, which means that
// somebody forgot.
func checkTime(t time.Time) error {
	if t.IsZero() {
		return errors.New("time is missing")
	}
	if y := t.UTC().Year(); y < 1 || y > 9998 {
		return fmt.Errorf("time has year %d", y)
	}
	return nil
}
