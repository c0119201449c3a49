package store_test

import (
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

func TestPlaceholders(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                          "SELECT 1",
		"VALUES (?, ?, ?)":                  "VALUES ($1, $2, $3)",
		"a = ? AND b = ?2 AND c = ?2":       "a = $1 AND b = $2 AND c = $2",
		"a = ?, b = ?2, c = ?2, d = ?, e=?": "a = $1, b = $2, c = $2, d = $3, e=$4",
		"a = ?12 AND b = ?":                 "a = $12 AND b = $13",
		"a = '?' AND b = 'it''s ?' || ?":    "a = '?' AND b = 'it''s ?' || $1",
	} {
		if got := store.Placeholders(query); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
}
