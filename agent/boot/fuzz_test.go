package boot

import "testing"

// Whatever bytes a state has, it is refused or it is one that Boot can go by, and prints back to what it says.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"schema":1,"committed":"a","trial":"b","tries":1,"a":{"bootable":true},"b":{"bootable":true,"failed":true}}`))
	f.Add([]byte(`{"schema":2,"committed":"b","a":{},"b":{"bootable":true},"later":[]}`))
	f.Add([]byte(`{"SCHEMA":1,"committed":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		if s := r.state(A); !s.Of(s.Committed).Bootable || s.Trial == s.Committed || s.TriesLeft > maxTries {
			t.Fatalf("%+v", s)
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseRecord(again); err != nil || back != r {
			t.Fatalf("%+v, %v, want %+v", back, err, r)
		}
	})
}

// The running file is read by its first two words, or not at all.
func FuzzRunning(f *testing.F) {
	f.Add([]byte("a committed\n"))
	f.Add([]byte("b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		slot, why := parseRunning(data)
		if slot == "" && why == "" {
			return
		}
		if !slot.Valid() || string(slot)+" "+why+"\n" != string(data) {
			t.Fatalf("%q was read as %q, %q", data, slot, why)
		}
	})
}
