package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func event() Event {
	return Event{Schema: 1, Epoch: "k3", Seq: 7, Time: noon, Update: "0d0c", State: Committed,
		Product: "base", From: "1.0.0", To: "1.1.0", Fetched: 10, Written: 20, Millis: 30}
}

func reported() Reported {
	return Reported{Schema: 1, Time: noon, BootID: "b", Agent: "0.1.0", Product: "base", Hardware: "bu-1",
		Version: "1.0.0", Counter: 3, Slot: "a", Slots: []SlotStatus{{Name: "a", State: "active"}}, State: Idle,
		Link: &LinkStatus{Transport: TransportWSS, Trouble: []string{TroubleDuplicate}}}
}

func enrolled() EnrollResponse {
	return EnrollResponse{Tenant: "acme", Device: "d-1", Certificate: "pem", DirectorRoot: "{}", Expires: noon}
}

// roundTrip encodes m, decodes it, and wants it back.
func roundTrip[M Message](t *testing.T, m M, dec func([]byte) (M, error)) []byte {
	t.Helper()
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := dec(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, m) {
		t.Errorf("sent %+v, got %+v", m, back)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	ev, rep := event(), reported()
	answer, waiting := event(), reported()
	answer.State, answer.Say, answer.Until = Staged, Later, noon.Add(time.Hour)
	waiting.Wait, waiting.Offline = &Wait{"0d0c", WaitPeople, noon}, true
	roundTrip(t, answer, DecodeEvent)
	roundTrip(t, waiting, DecodeReported)
	roundTrip(t, ev, DecodeEvent)
	roundTrip(t, rep, DecodeReported)
	roundTrip(t, Presence{1, true, "n0", noon}, DecodePresence)
	roundTrip(t, Progress{1, "0d0c", Downloading, 1, 2, 3, 4}, DecodeProgress)
	roundTrip(t, Cmd{1, "c1", CmdPing, noon}, DecodeCmd)
	roundTrip(t, Reply{1, "c1", true, "pong"}, DecodeReply)
	roundTrip(t, EnrollRequest{Claim: "t", CSR: "pem", Product: "base", Hardware: "bu-1"}, DecodeEnrollRequest)
	roundTrip(t, enrolled(), DecodeEnrollResponse)
	roundTrip(t, Reports{&rep, []Event{ev}}, DecodeReports)
	roundTrip(t, Reports{}, DecodeReports)
	roundTrip(t, ReportsAck{9}, DecodeReportsAck)
	roundTrip(t, ErrorBody{Error{CodeBusy, "later"}}, DecodeError)
}

// The bytes themselves are the contract with services of another age.
func TestEventOnTheWire(t *testing.T) {
	b, err := Encode(event())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"s":1,"epoch":"k3","seq":7,"time":"2026-11-22T12:00:00Z","update":"0d0c","state":"committed",` +
		`"product":"base","from":"1.0.0","to":"1.1.0","fetched":10,"written":20,"millis":30}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	b := roundTrip(t, event(), DecodeEvent)
	b = append([]byte(`{"mood":{"x":[1]},`), b[1:]...)
	if got, err := DecodeEvent(b); err != nil || got.Seq != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRefusedEvents(t *testing.T) {
	for name, change := range map[string]func(*Event){
		"schema is not known":   func(e *Event) { e.Schema = 2 },
		"id":                    func(e *Event) { e.Epoch = "a.b" },
		"seq must be at least":  func(e *Event) { e.Seq = 0 },
		"time is missing":       func(e *Event) { e.Time = time.Time{} },
		"time has year":         func(e *Event) { e.Time = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) },
		"update is missing":     func(e *Event) { e.Update = "" },
		"none of the known":     func(e *Event) { e.State = "happy" },
		"product must have":     func(e *Event) { e.Product = strings.Repeat("p", MaxName+1) },
		"detail must have":      func(e *Event) { e.Detail = strings.Repeat("p", MaxText+1) },
		"one line of printable": func(e *Event) { e.Detail = "a\nb" },
		"fetched must be":       func(e *Event) { e.Fetched = -1 },
		"say is none":           func(e *Event) { e.Say = "perhaps" },
		"until, of later":       func(e *Event) { e.Say = Later },
		"until goes with later": func(e *Event) { e.Say, e.Until = Yes, noon },
	} {
		e := event()
		change(&e)
		words := strings.Fields(name)
		if _, err := Encode(e); err == nil || !strings.Contains(err.Error(), words[0]) {
			t.Errorf("%s: Encode said %v", name, err)
		}
		b, _ := json.Marshal(e)
		if _, err := DecodeEvent(b); err == nil || !strings.Contains(err.Error(), words[0]) {
			t.Errorf("%s: DecodeEvent said %v", name, err)
		}
	}
}

func TestRefusedBytes(t *testing.T) {
	good, err := Encode(event())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty":        nil,
		"cut":          good[:len(good)-1],
		"trailing":     append(bytes.Clone(good), '{'),
		"too long":     append(bytes.Clone(good), bytes.Repeat([]byte(" "), MaxEvent)...),
		"twice":        append([]byte(`{"seq":8,`), good[1:]...),
		"twins":        append([]byte(`{"SEQ":8,`), good[1:]...),
		"null":         append([]byte(`{"reason":null,`), good[1:]...),
		"wrong type":   bytes.Replace(good, []byte(`"seq":7`), []byte(`"seq":"7"`), 1),
		"not a number": bytes.Replace(good, []byte(`"seq":7`), []byte(`"seq":7.5`), 1),
		"array":        []byte(`[]`),
	} {
		if got, err := DecodeEvent(b); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
}

func TestReportsHoldOneGrowingEpoch(t *testing.T) {
	ev := func(epoch string, seq int64) Event { e := event(); e.Epoch, e.Seq = epoch, seq; return e }
	many := make([]Event, MaxEvents+1)
	for i := range many {
		many[i] = ev("a", int64(i+1))
	}
	for name, c := range map[string]struct {
		events []Event
		ok     bool
	}{
		"gap":        {[]Event{ev("a", 1), ev("a", 5)}, true},
		"same":       {[]Event{ev("a", 1), ev("a", 1)}, false},
		"backwards":  {[]Event{ev("a", 2), ev("a", 1)}, false},
		"two epochs": {[]Event{ev("a", 1), ev("b", 2)}, false},
		"most":       {many[:MaxEvents], true},
		"too many":   {many, false},
	} {
		_, err := Encode(Reports{Events: c.events})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Everything at its limit still fits, so nothing that is checked is refused for its size.
func TestLimitsFitEachOther(t *testing.T) {
	name, text := strings.Repeat(`"`, MaxName), strings.Repeat(`\`, MaxText)
	ev := event()
	ev.Update, ev.Product, ev.From, ev.To, ev.Reason, ev.Detail = name, name, name, name, name, text
	rep := reported()
	rep.BootID, rep.Agent, rep.Product, rep.Hardware, rep.Serial = name, name, name, name, name
	rep.MAC, rep.Version, rep.Slot, rep.Update, rep.LastError = name, name, name, name, text
	ev.Say, ev.Until = Later, noon
	rep.Wait = &Wait{name, name, noon}
	rep.Slots = nil
	for range 8 {
		rep.Slots = append(rep.Slots, SlotStatus{name, name, name})
	}
	roundTrip(t, ev, DecodeEvent)
	roundTrip(t, rep, DecodeReported)
}

func TestTopics(t *testing.T) {
	topic := Topic("acme", "d-1", LeafEvent)
	if topic != "fw/v1/acme/d-1/event" {
		t.Errorf("topic is %s", topic)
	}
	if tenant, device, leaf, err := ParseTopic(topic); err != nil || tenant != "acme" || device != "d-1" || leaf != LeafEvent {
		t.Errorf("parsed %s %s %s %v", tenant, device, leaf, err)
	}
	for _, bad := range []string{"", "fw/v1/acme/d-1", "fw/v1/acme/d-1/event/x", "fw/v2/acme/d-1/event", "fw/v1//d-1/event",
		"fw/v1/+/d-1/event", "fw/v1/acme/#", "fw/v1/acme/d.1/event", "fw/v1/acme/d-1/secret", "$share/g/fw/v1/acme/d-1/event",
		"fw/v1/acme/" + strings.Repeat("d", 65) + "/event"} {
		if _, _, _, err := ParseTopic(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestDeviceURI(t *testing.T) {
	uri := DeviceURI("acme", "d-1")
	if tenant, device, err := ParseDeviceURI(uri); err != nil || tenant != "acme" || device != "d-1" {
		t.Errorf("%s parsed as %s %s %v", uri, tenant, device, err)
	}
	for _, bad := range []string{"", "urn:fairlead:acme", "urn:fairlead:acme:d:1", "urn:other:acme:d", "urn:fairlead::d"} {
		if _, _, err := ParseDeviceURI(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestStates(t *testing.T) {
	for state, final := range map[State]bool{Idle: false, Downloading: false, Installing: false, Staged: false, Rebooting: false, Trying: false,
		Committed: true, Failed: true, RolledBack: true, Rejected: true} {
		if !state.Valid() || state.Final() != final {
			t.Errorf("%s: valid %v, final %v", state, state.Valid(), state.Final())
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", " a\n\tb\x00c ": "a b c", "\xff": "?", "": "",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
	long := Text(strings.Repeat("ä", MaxText) + "reason")
	if len(long) > MaxText || !strings.HasSuffix(long, "reason") || text("x", long) != nil {
		t.Errorf("long text became %d bytes: %q", len(long), long)
	}
}

// A type outside of the table of limits would silently get the small one.
func TestEveryTypeHasItsLimit(t *testing.T) {
	for m, limit := range map[any]int{&Event{}: MaxEvent, &Reported{}: MaxReported, &Reports{}: MaxPayload, &Cmd{}: MaxSmall,
		&EnrollRequest{}: MaxPayload, &EnrollResponse{}: MaxEnrollResponse} {
		if got := limitOf(reflect.ValueOf(m).Elem().Interface()); got != limit {
			t.Errorf("%T: limit %d, not %d", m, got, limit)
		}
	}
}
