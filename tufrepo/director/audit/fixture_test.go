package audit

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

var begin = time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)

// signerOf makes the same key from the same seed.
func signerOf(t testing.TB, seed byte) keyfile.Signer {
	t.Helper()
	s, err := keyfile.NewSigner(ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keysOf(t testing.TB, signers ...keyfile.Signer) Keys {
	t.Helper()
	all := Keys{}
	for _, s := range signers {
		pub, err := s.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewKeys(pub)
		if err != nil {
			t.Fatal(err)
		}
		all[s.ID()] = k[s.ID()]
	}
	return all
}

func entry(n int) Entry {
	e := Entry{Time: begin.Add(time.Duration(n) * time.Hour), Actor: Actor{Token, "k3v9x0a2bq"}, Role: "operator",
		Action: DirectSend, Object: fmt.Sprintf("device/%04d", n), Outcome: OK, Source: netip.MustParseAddr("192.0.2.7"),
		Detail: json.RawMessage(fmt.Sprintf(`{"version":"1.%d.0"}`, n))}
	switch n % 4 {
	case 0:
		e.Actor, e.Role, e.Action, e.Outcome = Actor{Device, "9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0001"}, "", UpdateEnd, Failed
	case 1:
		e.Actor, e.Role, e.Action, e.Outcome, e.Source = Actor{Nobody, ""}, "", AccessRefuse, Refused, netip.MustParseAddr("2001:db8::7")
	case 2:
		e.Actor, e.Role, e.Action, e.Source, e.Detail = Actor{System, "rollouts"}, "", RolloutPause, netip.Addr{}, nil
	}
	return e
}

// history is a chain of n rows, its heads by number, and some of them signed.
type history struct {
	rows  []Row
	heads []Head // heads[n] is the head after n rows
	seals []SignedHead
}

// build makes a chain whose rows numbered in sealed are heads of the days from begin on.
func build(t testing.TB, s keyfile.Signer, n int, sealed ...int64) *history {
	t.Helper()
	h := &history{heads: []Head{Start(TenantChain("acme"))}}
	for i := 1; i <= n; i++ {
		h.add(t, entry(i))
	}
	for i, seq := range sealed {
		h.seal(t, DayOf(begin.AddDate(0, 0, i)), h.heads[seq], s)
	}
	return h
}

func (h *history) add(t testing.TB, e Entry) {
	t.Helper()
	row, head, err := Append(h.heads[len(h.heads)-1], e)
	if err != nil {
		t.Fatal(err)
	}
	h.rows, h.heads = append(h.rows, row), append(h.heads, head)
}

func (h *history) seal(t testing.TB, day Day, head Head, s keyfile.Signer) {
	t.Helper()
	raw, err := SignHead(day, head, s)
	if err != nil {
		t.Fatal(err)
	}
	h.seals = append(h.seals, raw)
}

// forge is the row that whoever writes to the database makes of e, hashes and all.
func forge(chain string, prev Row, seq int64, e Entry) Row {
	e.Seq = seq
	r := Row{Prev: prev.Hash, Entry: encode(e)}
	r.Hash = hash(chain, r.Prev, r.Entry)
	return r
}

func seq(rows []Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}
