package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestRoundTrip(t *testing.T) {
	h := build(t, signerOf(t, 1), 8)
	for i, row := range h.rows {
		e, err := row.Open(acme)
		want := entry(i + 1)
		want.Seq = int64(i + 1)
		if err != nil || !reflect.DeepEqual(e, want) {
			t.Errorf("row %d: %+v, %v; want %+v", i+1, e, err, want)
		}
	}
}

func TestAppendBringsIntoForm(t *testing.T) {
	e := entry(1)
	e.Seq, e.Time, e.Source = 99, time.Date(2026, 9, 1, 12, 0, 0, 123, time.FixedZone("", 7200)), netip.MustParseAddr("::ffff:192.0.2.7")
	row, head, err := Append(Start(acme), e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := row.Open(acme)
	if err != nil || got.Seq != 1 || head.Seq != 1 || !got.Time.Equal(begin) || got.Source.String() != "192.0.2.7" {
		t.Errorf("%+v, head %d, %v", got, head.Seq, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	for name, change := range map[string]func(*Entry){
		"action unknown":        func(e *Entry) { e.Action = "coffee.make" },
		"no action":             func(e *Entry) { e.Action = "" },
		"no outcome":            func(e *Entry) { e.Outcome = "" },
		"kind of actor":         func(e *Entry) { e.Actor.Kind = "dog" },
		"actor without id":      func(e *Entry) { e.Actor = Actor{Kind: Token} },
		"long actor":            func(e *Entry) { e.Actor.ID = strings.Repeat("x", MaxActor+1) },
		"long role":             func(e *Entry) { e.Role = strings.Repeat("x", MaxRole+1) },
		"long object":           func(e *Entry) { e.Object = strings.Repeat("x", MaxObject+1) },
		"two lines":             func(e *Entry) { e.Object = "device/1\ndevice/2" },
		"terminal escape":       func(e *Entry) { e.Actor.ID = "\x1b[2J" },
		"text turned around":    func(e *Entry) { e.Role = "a\u202eb" },
		"not UTF-8":             func(e *Entry) { e.Object = "\xff" },
		"before 1970":           func(e *Entry) { e.Time = time.Unix(-1, 0) },
		"year 10000":            func(e *Entry) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"detail no object":      func(e *Entry) { e.Detail = json.RawMessage(`[1]`) },
		"detail torn":           func(e *Entry) { e.Detail = json.RawMessage(`{"a":}`) },
		"detail with two names": func(e *Entry) { e.Detail = json.RawMessage(`{"a":1,"a":2}`) },
		"long detail":           func(e *Entry) { e.Detail = json.RawMessage(`{"a":"` + strings.Repeat("x", MaxDetail) + `"}`) },
	} {
		e := entry(3)
		change(&e)
		if _, head, err := Append(Start(acme), e); err == nil || head != Start(acme) {
			t.Errorf("%s: appended, head %+v", name, head)
		}
	}
	for name, head := range map[string]Head{"no chain": {}, "strange chain": {Chain: "tenant/a/b"}, "no such head": {Chain: acme, Seq: 3},
		"the last": {Chain: acme, Seq: firmware.MaxCounter, Hash: firmware.Sum(nil)}} {
		if _, _, err := Append(head, entry(3)); err == nil {
			t.Errorf("%s: appended", name)
		}
	}
}

func TestEveryActionCanBeLogged(t *testing.T) {
	all := Actions()
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Error("an action stands in the list twice")
	}
	source, err := os.ReadFile("action.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte(" Action = \"")); n != len(all) {
		t.Errorf("%d constants, %d in the list", n, len(all))
	}
	for _, a := range all {
		e := entry(3)
		e.Action = a
		if _, _, err := Append(Start(ServiceChain), e); err != nil {
			t.Error(err)
		}
	}
}

func TestALaterActionCanBeRead(t *testing.T) {
	e := entry(3)
	e.Action = "device.teleport"
	r := forge(acme, Row{}, 1, e)
	if got, err := r.Open(acme); err != nil || got.Action != e.Action {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseEntryRefuses(t *testing.T) {
	e := entry(3)
	e.Seq = 3
	good := encode(e)
	long := slices.Insert(slices.Clone(good), headLength+1, 0) // the length of "token" in two bytes
	long[headLength] |= 0x80
	number := func(n uint64) []byte {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint64(b[1:], n)
		return b
	}
	past := slices.Clone(good)
	binary.LittleEndian.PutUint64(past[9:], 1<<63)
	address := e
	address.Source = netip.MustParseAddr("::ffff:192.0.2.7")
	for name, b := range map[string][]byte{
		"nothing": nil, "cut off": good[:len(good)-1], "only its head": good[:headLength], "more after it": append(slices.Clone(good), 0),
		"another format": append([]byte{2}, good[1:]...), "long length": long, "number 0": number(0), "number 2^53": number(1 << 53), "number -1": number(1<<64 - 1),
		"time out of range": past, "address in another form": encode(address), "address": bytes.Replace(good, []byte("192.0.2.7"), []byte("192.0.2.x"), 1),
		"huge": append(slices.Clone(good), make([]byte, MaxEntry)...),
	} {
		if got, err := ParseEntry(b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := ParseEntry(good); err != nil {
		t.Error(err)
	}
}

func TestExport(t *testing.T) {
	h := build(t, signerOf(t, 1), 5)
	var file bytes.Buffer
	for _, r := range h.rows {
		if err := WriteRow(&file, r); err != nil {
			t.Fatal(err)
		}
	}
	whole := file.Bytes()
	if r, err := Verify(ReadRows(bytes.NewReader(whole)), Start(acme), nil, nil); err != nil || r.Rows != 5 {
		t.Errorf("%v\n%s", err, r)
	}
	ends := map[int]bool{0: true}
	for n, at := 0, 0; n < 5; n++ {
		l, used := binary.Uvarint(whole[at:])
		at += used + int(l)
		ends[at] = true
	}
	for cut := range whole {
		_, err := Verify(ReadRows(bytes.NewReader(whole[:cut])), Start(acme), nil, nil)
		if (err == nil) != ends[cut] {
			t.Fatalf("cut off after %d bytes: %v", cut, err)
		}
	}
	if _, err := Verify(ReadRows(strings.NewReader("\xff\xff\xff\xff\xff\xff\x01")), Start(acme), nil, nil); err == nil {
		t.Error("a row of many gigabytes was read")
	}
}

// TestGolden holds the bytes of docs/formats.md still.
func TestGolden(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 4, 4)
	var rows bytes.Buffer
	for _, r := range h.rows {
		if err := WriteRow(&rows, r); err != nil {
			t.Fatal(err)
		}
	}
	for name, got := range map[string][]byte{"rows.bin": rows.Bytes(), "head.json": h.seals[0]} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is written with other bytes than before: %v\n%q", name, err, got)
		}
	}
	file, err := os.ReadFile(filepath.Join("testdata", "rows.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(ReadRows(bytes.NewReader(file)), Start(acme), h.seals, keysOf(t, s)); err != nil || r.Sealed != 4 {
		t.Errorf("%v\n%s", err, r)
	}
}

func TestQuery(t *testing.T) {
	h := build(t, signerOf(t, 1), 12)
	for _, tc := range []struct {
		name string
		q    Query
		want []int64
	}{
		{"all", Query{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		{"kind of actor", Query{Actor: Actor{Kind: System}}, []int64{2, 6, 10}},
		{"actor", Query{Actor: Actor{ID: "k3v9x0a2bq"}}, []int64{3, 7, 11}},
		{"action", Query{Action: "update.end"}, []int64{4, 8, 12}},
		{"actions", Query{Action: "rollout."}, []int64{2, 6, 10}},
		{"part of an action", Query{Action: "rollout"}, nil},
		{"object", Query{Object: "device/0003"}, []int64{3}},
		{"part of an object", Query{Object: "device/000"}, nil},
		{"objects", Query{Object: "device/", Since: begin.Add(11 * time.Hour)}, []int64{11, 12}},
		{"outcome", Query{Outcome: Refused}, []int64{1, 5, 9}},
		{"times", Query{Since: begin.Add(3 * time.Hour), Until: begin.Add(5 * time.Hour)}, []int64{3, 4}},
		{"both", Query{Outcome: Failed, Until: begin.Add(5 * time.Hour)}, []int64{4}},
	} {
		var got []int64
		for e, err := range tc.q.Select(seq(h.rows)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: rows %v, want %v", tc.name, got, tc.want)
		}
	}
	n := 0
	for range (Query{}).Select(seq(h.rows)) {
		if n++; n == 2 {
			break
		}
	}
	for _, err := range (Query{Outcome: Failed}).Select(seq([]Row{{}})) {
		if err == nil {
			t.Error("a row that is none was passed over")
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d steps", n)
	}
}

func TestChainNames(t *testing.T) {
	for name, ok := range map[string]bool{ServiceChain: true, TenantChain("acme"): true, "": false, "tenant/": false, "acme": false,
		"tenant/a/b": false, "service/": false, TenantChain(strings.Repeat("x", 64)): true, TenantChain(strings.Repeat("x", 65)): false} {
		if err := CheckChain(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
