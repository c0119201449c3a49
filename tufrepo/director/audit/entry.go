package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
)

// Limits of an entry, in bytes.
const (
	MaxActor  = 128
	MaxRole   = 64
	MaxObject = 256
	MaxDetail = 4 << 10
	// MaxEntry bounds an encoded entry.
	MaxEntry = 5 << 10

	maxAction = 64
	maxSource = 45 // an IPv6 address
)

// Kind is the kind of an actor.
type Kind string

const (
	Token  Kind = "token"  // a person or program with an operator's token; the id is the token's
	Device Kind = "device" // a fleet member; the id is the device's
	System Kind = "system" // the service by itself, or who stands at its machine; the id says which part
	Nobody Kind = "nobody" // a caller that has proved nothing; the id, if any, is what it claimed
)

// Actor is who did something.
type Actor struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id,omitempty"`
}

// Outcome says how it ended.
type Outcome string

const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // not allowed, or not possible; nothing was changed
	Failed  Outcome = "failed"  // it was allowed and went wrong
)

// Entry is one thing that was done.
type Entry struct {
	Seq     int64           `json:"seq"`              // 1.. in its chain; Append sets it
	Time    time.Time       `json:"time"`             // whole seconds in UTC, by the service's clock, which may jump
	Actor   Actor           `json:"actor"`            //
	Role    string          `json:"role,omitempty"`   // that the actor had
	Action  Action          `json:"action"`           //
	Object  string          `json:"object,omitempty"` // what it was done to: "device/9f0c…", "rollout/7"
	Outcome Outcome         `json:"outcome"`          //
	Source  netip.Addr      `json:"source,omitzero"`  // where it came from; zero for the service itself
	Detail  json.RawMessage `json:"detail,omitempty"` // an object of at most MaxDetail bytes, or nothing
}

// check says what is wrong with e. Its rules are those of docs/formats.md.
func (e Entry) check() error {
	if e.Seq < 1 || e.Seq > firmware.MaxCounter {
		return fmt.Errorf("number %d is not in 1..2^53-1", e.Seq)
	}
	if _, offset := e.Time.Zone(); offset != 0 || e.Time.Nanosecond() != 0 || e.Time.Unix() < 0 || e.Time.Year() > 9999 {
		return errors.New("time is not in whole seconds in UTC from 1970 to 9999")
	}
	if err := e.Action.check(); err != nil {
		return err
	}
	if err := e.checkActor(); err != nil {
		return err
	}
	if err := checkText("object", e.Object, MaxObject); err != nil {
		return err
	}
	switch e.Outcome {
	case OK, Refused, Failed:
	default:
		return fmt.Errorf("outcome %.20q is none of ok, refused, failed", e.Outcome)
	}
	if e.Source.Zone() != "" || e.Source.Is4In6() {
		return errors.New("source is an IPv4 address written as IPv6, or has a zone")
	}
	return checkDetail(e.Detail)
}

func (e Entry) checkActor() error {
	switch e.Actor.Kind {
	case Token, Device, System:
		if e.Actor.ID == "" {
			return fmt.Errorf("actor of kind %s has no id", e.Actor.Kind)
		}
	case Nobody:
	default:
		return fmt.Errorf("actor kind %.20q is none of token, device, system, nobody", e.Actor.Kind)
	}
	if err := checkText("actor", e.Actor.ID, MaxActor); err != nil {
		return err
	}
	return checkText("role", e.Role, MaxRole)
}

// checkText lets one line of printable text through, so that no entry can play tricks on
// the terminal or the log viewer of who reads it.
func checkText(what, s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", what, len(s), most)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not valid UTF-8", what)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%s %.80q holds a character that is not printable", what, s)
		}
	}
	return nil
}

func checkDetail(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if b[0] != '{' || b[len(b)-1] != '}' {
		return errors.New("detail is not a JSON object")
	}
	if err := strictjson.Check(b, strictjson.Options{MaxBytes: MaxDetail, AllowNull: true, AllowFloat: true}); err != nil {
		return fmt.Errorf("detail: %w", err)
	}
	return nil
}
