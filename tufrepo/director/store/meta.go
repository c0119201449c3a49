package store

import (
	"errors"
	"fmt"
	"strconv"
)

const generation = "generation"

// Generation is how far the database has come; see the package's page.
func (t *Tx) Generation() (int64, error) {
	text, err := t.Meta(generation)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("generation of the database: %w", err)
	}
	return n, nil
}

// NextGeneration raises the generation, over atLeast as well, and returns it.
func (t *Tx) NextGeneration(atLeast int64) (int64, error) {
	n, err := t.Generation()
	if err != nil {
		return 0, err
	}
	n = max(n, atLeast) + 1
	return n, t.SetMeta(generation, strconv.FormatInt(n, 10))
}

// Meta returns a value that concerns the database as a whole, or ErrNotFound.
func (t *Tx) Meta(key string) (string, error) {
	return get(t, scanOne[string], "SELECT value FROM meta WHERE key = ?", key)
}

// SetMeta stores one.
func (t *Tx) SetMeta(key, value string) error {
	return t.do("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
}
