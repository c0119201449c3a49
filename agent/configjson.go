package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware/strictjson"
)

// decodeConfig reads JSON written by people: every error names the line.
func decodeConfig(b []byte, c *Config) error {
	if err := checkKeys(b, reflect.TypeFor[Config]()); err != nil {
		return err
	}
	if err := strictjson.Check(b, strictjson.Options{MaxBytes: MaxConfig}); err != nil {
		return err
	}
	err := json.Unmarshal(b, c)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("line %d: key %q: want %s, found a %s", lineAt(b, wrong.Offset), wrong.Field, wrong.Type, wrong.Value)
	}
	return err
}

// checkKeys refuses JSON that cannot be read, and keys that t does not name.
func checkKeys(b []byte, t reflect.Type) error {
	var v json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("line %d: %w", lineAt(b, syntax.Offset), err)
		}
		return err
	}
	w := keyWalker{text: b, dec: json.NewDecoder(bytes.NewReader(b))}
	return w.value(t, "")
}

type keyWalker struct {
	text []byte
	dec  *json.Decoder
}

// value passes over one value, which is to become a t; nil stands for no struct.
func (w *keyWalker) value(t reflect.Type, path string) error {
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	open, isContainer := token.(json.Delim)
	if !isContainer {
		return nil
	}
	if open == '[' && t != nil && t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for w.dec.More() {
		member := t
		if open == '{' {
			if member, err = w.key(t, &path); err != nil {
				return err
			}
		}
		if err := w.value(member, path); err != nil {
			return err
		}
	}
	_, err = w.dec.Token()
	return err
}

// key reads a member's name and finds the type of its value.
func (w *keyWalker) key(t reflect.Type, path *string) (reflect.Type, error) {
	token, err := w.dec.Token()
	if err != nil {
		return nil, err
	}
	known := members(t)
	name := fmt.Sprint(token)
	member, ok := known[name]
	if !ok {
		return nil, fmt.Errorf("line %d: unknown key %q; known here: %s", lineAt(w.text, w.dec.InputOffset()),
			name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return member, nil
}

// members are the JSON names of a struct with the types of their values.
func members(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	if t == nil || t.Kind() != reflect.Struct {
		return known
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		known[name] = t.Field(i).Type
	}
	return known
}

func lineAt(b []byte, offset int64) int {
	return 1 + bytes.Count(b[:min(max(offset, 0), int64(len(b)))], []byte("\n"))
}
