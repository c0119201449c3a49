package service_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/openapi"
)

// document is what of the description is looked at here.
type document struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct{ Schemas map[string]schema }
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       string
	Properties map[string]schema
	Items      *schema
	Required   []string
}

func description(t *testing.T) (d document) {
	t.Helper()
	must(t, json.Unmarshal(openapi.JSON, &d))
	return d
}

func TestDescriptionIsUpToDate(t *testing.T) {
	now, err := service.Describe()
	must(t, err)
	if !bytes.Equal(now, openapi.JSON) {
		t.Error("openapi.json says something else than the table and the structs: run go generate ./tufrepo/service/openapi")
	}
	s := newSite(t)
	resp, err := http.Get(s.api.URL + "/api/v1/openapi.json")
	must(t, err)
	defer resp.Body.Close()
	served, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != 200 || !bytes.Equal(served, openapi.JSON) {
		t.Errorf("the service serves another description: %d, %d bytes", resp.StatusCode, len(served))
	}
}

func TestDescriptionHasEveryRoute(t *testing.T) {
	var have []string
	for path, methods := range description(t).Paths {
		for method := range methods {
			have = append(have, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(have)
	if want := newSite(t).OperatorRoutes(); !slices.Equal(have, want) {
		t.Errorf("described are\n%s\nserved are\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// TestEveryStructIsDescribed: a struct of package api that no route uses is forgotten there,
// or not needed.
func TestEveryStructIsDescribed(t *testing.T) {
	d := description(t)
	files, err := filepath.Glob("api/*.go")
	must(t, err)
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			_, isStruct := spec.Type.(*ast.StructType)
			_, described := d.Components.Schemas[spec.Name.Name]
			if isStruct && spec.Name.IsExported() && !described && !slices.Contains([]string{"Client", "Error"}, spec.Name.Name) {
				t.Errorf("api.%s is in no description", spec.Name.Name)
			}
			return true
		})
	}
}

// TestSchemasFitWhatIsSaid writes each struct with everything in it, and with nothing, as
// encoding/json does.
func TestSchemasFitWhatIsSaid(t *testing.T) {
	d := description(t)
	for _, row := range newSite(t).OperatorRows() {
		for _, v := range []any{row.In, row.Out} {
			if v == nil {
				continue
			}
			full := reflect.New(reflect.TypeOf(v)).Elem()
			fill(full)
			for _, one := range []any{v, full.Interface()} {
				text, err := json.Marshal(one)
				must(t, err)
				var said any
				must(t, json.Unmarshal(text, &said))
				d.fits(t, full.Type().Name(), schema{Ref: "#/components/schemas/" + full.Type().Name()}, said)
			}
		}
	}
}

// fill puts something into every member.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte("{}"))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		one := reflect.New(v.Type().Elem()).Elem()
		fill(one)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x").Convert(v.Type().Key()), one)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(1)
	}
}

func (d document) fits(t *testing.T, at string, s schema, v any) {
	t.Helper()
	if s.Ref != "" {
		name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
		of, ok := d.Components.Schemas[name]
		if !ok {
			t.Fatalf("%s: %s is not there", at, s.Ref)
		}
		s = of
	}
	switch v := v.(type) {
	case map[string]any:
		d.members(t, at, s, v)
	case []any:
		if s.Type != "array" {
			t.Errorf("%s is a list, described as %q", at, s.Type)
		}
		for _, one := range v {
			if s.Items != nil {
				d.fits(t, at+"[]", *s.Items, one)
			}
		}
	case string:
		expect(t, at, s, "string")
	case bool:
		expect(t, at, s, "boolean")
	case float64:
		if s.Type != "number" {
			expect(t, at, s, "integer")
		}
	}
}

// expect lets what is described as anything be anything.
func expect(t *testing.T, at string, s schema, kind string) {
	t.Helper()
	if s.Type != kind && s.Type != "" {
		t.Errorf("%s is a %s, described as %q", at, kind, s.Type)
	}
}

func (d document) members(t *testing.T, at string, s schema, v map[string]any) {
	t.Helper()
	for name, one := range v {
		of, ok := s.Properties[name]
		if !ok && s.Properties != nil {
			t.Errorf("%s.%s is not described", at, name)
		}
		if ok && one != nil {
			d.fits(t, at+"."+name, of, one)
		}
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			t.Errorf("%s.%s is described as always there", at, name)
		}
	}
}
