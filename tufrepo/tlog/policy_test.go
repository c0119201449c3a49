package tlog_test

import (
	"errors"
	"strings"
	"testing"

	f_note "github.com/transparency-dev/formats/note"

	"github.com/fairlead/fairlead/tufrepo/tlog"
)

func TestPolicyIsRead(t *testing.T) {
	l, a, b, c := newLog(t, "log.example"), newWitness(t, "a.example"), newWitness(t, "b.example"), newWitness(t, "c.example")
	p := parse(t, "# who we believe\n log\t"+l.vkey+"  https://log.example/\n\nwitness a "+a.vkey+" https://a.example\nwitness b "+b.vkey+
		"\nwitness c "+c.vkey+"\ngroup ab any a b\n  # both sides\ngroup q all ab c\nquorum q\n")
	if !p.Required() || p.Quorum() != "2 of (1 of (a, b), c)" || p.Logs[0].URL != "https://log.example/" || p.Witnesses[0].URL != "https://a.example" {
		t.Errorf("%+v, quorum %s", p, p.Quorum())
	}
	for names, want := range map[string]bool{"a": false, "c": false, "a b": false, "a c": true, "b c": true, "a b c": true, "": false} {
		if got := p.Enough(strings.Fields(names)); got != want {
			t.Errorf("%q: %v", names, got)
		}
	}
}

func TestWitnessesOfBothKinds(t *testing.T) {
	w := newWorld(t)
	skey, vkey, err := f_note.GenerateMLDSAKey("pq.example/w")
	if err != nil {
		t.Fatal(err)
	}
	pq, err := f_note.NewMLDSASigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	policy := "log " + w.log.vkey + "\nwitness w " + w.witnesses[0].vkey + "\nwitness pq " + vkey + "\ngroup g all w pq\nquorum g\n"
	raw := prove(t, leaf(t), 5, 20, w.log.signer.Name(), w.log.signer, w.witnesses[0].signer, pq)
	if _, err := parse(t, policy).Verify(leaf(t), raw); err != nil {
		t.Error(err)
	}
	raw = prove(t, leaf(t), 5, 20, w.log.signer.Name(), w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer)
	if _, err := parse(t, policy).Verify(leaf(t), raw); !errors.Is(err, tlog.ErrQuorum) {
		t.Errorf("without one of them: %v", err)
	}
}

func TestPolicyOfNothing(t *testing.T) {
	p := parse(t, "# nothing is asked for\nquorum none\n")
	if p.Required() {
		t.Error("it asks for a proof")
	}
	if !p.Enough(nil) {
		t.Error("it asks for witnesses")
	}
}

func TestPolicyIsRefused(t *testing.T) {
	l, w, v := newLog(t, "log.example"), newWitness(t, "w.example"), newWitness(t, "v.example")
	head := "log " + l.vkey + "\nwitness w " + w.vkey + "\nwitness v " + v.vkey + "\n"
	renamed := strings.Replace(w.vkey, "w.example", "x.example", 1)
	for name, test := range map[string]struct{ text, want string }{
		"no quorum":            {head, "no quorum line"},
		"two quorums":          {head + "quorum w\nquorum none\n", "second quorum"},
		"unknown quorum":       {head + "quorum x\n", "not defined"},
		"quorum before":        {"quorum w\n" + head, "not defined"},
		"no newline":           {head + "quorum w", "newline"},
		"nothing":              {"", "newline"},
		"carriage return":      {head + "quorum w\r\n", "control character"},
		"unknown word":         {head + "quorum w\nmonitor x\n", "not log, witness"},
		"threshold 0":          {head + "group g 0 w v\nquorum g\n", "threshold"},
		"threshold above":      {head + "group g 3 w v\nquorum g\n", "threshold"},
		"threshold with sign":  {head + "group g +1 w v\nquorum g\n", "threshold"},
		"empty group":          {head + "group g any\nquorum g\n", "want: group"},
		"member twice":         {head + "group g 2 w w\nquorum g\n", "twice"},
		"member of two groups": {head + "group g any w v\ngroup h all g w\nquorum h\n", "twice"},
		"group in itself":      {head + "group g any g\nquorum g\n", "no line before"},
		"group none":           {head + "group none any w\nquorum none\n", "taken"},
		"name twice":           {head + "group w any v\nquorum w\n", "given twice"},
		"witness twice":        {head + "witness x " + w.vkey + "\nquorum x\n", "stands there twice"},
		"key under two names":  {"witness w " + w.vkey + "\nwitness x " + rehash(renamed) + "\nquorum w\n", "stands there twice"},
		"log twice":            {head + "log " + l.vkey + "\nquorum w\n", "stands there twice"},
		"log key as witness":   {"witness w " + l.vkey + "\nquorum w\n", "signature type 0x01, has no place"},
		"witness key as log":   {"log " + w.vkey + "\nquorum none\n", "signature type 0x04, has no place"},
		"wrong hash":           {"log " + l.vkey + "\nwitness w " + renamed + "\nquorum w\n", "its hash is"},
		"short key":            {"log log.example+00000000+AQ==\nquorum none\n", "has no place"},
		"no key":               {"log log.example\nquorum none\n", "not a key in the form"},
		"address":              {"log " + l.vkey + " file:///etc\nquorum none\n", "not an address"},
		"too many":             {strings.Repeat("group\n", 33), "want: group"},
		"too large":            {strings.Repeat("# long\n", 3000) + "quorum none\n", "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tlog.ParsePolicy([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
