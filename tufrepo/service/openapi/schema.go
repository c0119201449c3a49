package openapi

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// schemas collects the structs that occur, by name.
type schemas struct {
	all object
	of  map[string]string // name -> package path and name
}

// ref is the schema of a value's type. What goes in is strict: the service refuses members
// that it does not know.
func (s schemas) ref(v any, strict bool) (object, error) { return s.typ(reflect.TypeOf(v), strict) }

func (s schemas) typ(t reflect.Type, strict bool) (object, error) {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.typ(t.Elem(), strict)
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}, nil
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}, nil
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return object{"type": "string"}, nil
	case t.Implements(reflect.TypeFor[json.Marshaler]()), t.Kind() == reflect.Interface:
		return object{}, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.String:
		return object{"type": "string"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "format": "int64"}, nil
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}, nil
	case reflect.Slice, reflect.Array:
		return s.list(t, strict)
	case reflect.Map:
		of, err := s.typ(t.Elem(), strict)
		return object{"type": "object", "additionalProperties": of}, err
	case reflect.Struct:
		return s.named(t, strict)
	}
	return nil, fmt.Errorf("%s has no form in JSON", t)
}

func (s schemas) list(t reflect.Type, strict bool) (object, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return object{"type": "string", "contentEncoding": "base64"}, nil
	}
	of, err := s.typ(t.Elem(), strict)
	return object{"type": "array", "items": of}, err
}

// named puts a struct among the schemas, once.
func (s schemas) named(t reflect.Type, strict bool) (object, error) {
	name, full := t.Name(), t.PkgPath()+"."+t.Name()
	if name == "" {
		return nil, fmt.Errorf("a struct without a name")
	}
	ref := object{"$ref": "#/components/schemas/" + name}
	if have, ok := s.of[name]; ok {
		if have != full {
			return nil, fmt.Errorf("%s and %s have the same name", have, full)
		}
		return ref, nil
	}
	s.of[name] = full
	properties, required := object{}, []string{}
	if err := s.fields(t, strict, properties, &required); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	schema := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	if strict {
		schema["additionalProperties"] = false
	}
	s.all[name] = schema
	return ref, nil
}

// fields are a struct's members as encoding/json writes them.
func (s schemas) fields(t reflect.Type, strict bool, properties object, required *[]string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous && name == "" {
			if err := s.fields(f.Type, strict, properties, required); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		of, err := s.typ(f.Type, strict)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		properties[name] = of
		if !strict && !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			*required = append(*required, name)
		}
	}
	return nil
}
