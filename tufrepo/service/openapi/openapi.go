// Package openapi describes the API of the operator port in OpenAPI 3.1.
//
// The description is made out of the table by which the service routes, and out of the very
// structs that it reads and writes, so it cannot say anything else than the service does. It is
// kept as openapi.json beside this file, for people and their generators; a test compares.
//
//	go generate ./tufrepo/service/openapi
package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

//go:generate go run ./generate

// JSON is the description as it is kept.
//
//go:embed openapi.json
var JSON []byte

// Version is the API's, which is in its paths.
const Version = "v1"

// Route is one row of the table.
type Route struct {
	Method, Path string
	About        string // one line
	Permission   string // that the caller needs
	Action       string // in the audit log; empty where nothing is changed
	Scope        string // where the permission is needed, in words
	In           any    // a value of what goes in; nil for nothing
	Query        []string
	Out          any // a value of what comes back; nil for bytes
}

// object is a JSON object; its members are written in the order of their names.
type object = map[string]any

// Document is the description of routes, errors being what comes back where a call fails.
func Document(routes []Route, errors any) ([]byte, error) {
	s := schemas{all: object{}, of: map[string]string{}}
	failure, err := s.ref(errors, false)
	if err != nil {
		return nil, err
	}
	paths := object{}
	for _, r := range routes {
		op, err := s.operation(r, failure)
		if err != nil {
			return nil, fmt.Errorf("describing %s %s: %w", r.Method, r.Path, err)
		}
		at, ok := paths[r.Path].(object)
		if !ok {
			at = object{}
			paths[r.Path] = at
		}
		at[strings.ToLower(r.Method)] = op
	}
	b, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{"title": "Fairlead operator API", "version": Version,
			"description": "Who may do what, and what stands in the audit log of it, is with each call. Members of answers, and calls, are only ever added."},
		"servers":    []object{{"url": "http://127.0.0.1:9443"}},
		"security":   []object{{"token": []string{}}},
		"paths":      paths,
		"components": object{"schemas": s.all, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "bearerFormat": "flt_…"}}},
	}, "", "  ")
	return append(b, '\n'), err
}

func (s schemas) operation(r Route, failure object) (object, error) {
	op := object{"operationId": operationID(r), "summary": r.About, "x-fairlead-permission": r.Permission, "x-fairlead-scope": r.Scope}
	if r.Action != "" {
		op["x-fairlead-audit"] = r.Action
	}
	var parameters []object
	for _, name := range regexp.MustCompile(`\{([a-z]+)\}`).FindAllStringSubmatch(r.Path, -1) {
		parameters = append(parameters, object{"name": name[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, name := range r.Query {
		parameters = append(parameters, object{"name": name, "in": "query", "schema": object{"type": "string"}})
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if r.In != nil {
		in, err := s.ref(r.In, true)
		if err != nil {
			return nil, err
		}
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": in}}}
	}
	content := object{"application/octet-stream": object{"schema": object{}}}
	if r.Out != nil {
		out, err := s.ref(r.Out, false)
		if err != nil {
			return nil, err
		}
		content = object{"application/json": object{"schema": out}}
	}
	op["responses"] = object{"200": object{"description": "done", "content": content},
		"default": object{"description": "refused or failed; nothing was changed unless it says so", "content": object{"application/json": object{"schema": failure}}}}
	return op, nil
}

// operationID is the method and the path as one word: postTenantsTenantKey.
func operationID(r Route) string {
	id := strings.ToLower(r.Method)
	for _, part := range strings.FieldsFunc(strings.TrimPrefix(r.Path, "/api/v1"), func(c rune) bool { return strings.ContainsRune("/{}-_.", c) }) {
		id += strings.ToUpper(part[:1]) + part[1:]
	}
	return id
}
