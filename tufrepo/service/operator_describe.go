package service

import (
	"net/http"
	"strings"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/service/openapi"
)

// Describe is the description of the operator port's API, in OpenAPI.
func Describe() ([]byte, error) {
	var routes []openapi.Route
	for _, row := range (&Service{}).operatorTable() {
		method, path, _ := strings.Cut(row.pattern, " ")
		routes = append(routes, openapi.Route{Method: method, Path: path, About: row.about, Permission: string(row.permission),
			Action: string(row.action), Scope: row.scopeWords(path), In: row.in, Query: row.query, Out: row.out})
	}
	return openapi.Document(routes, wire.ErrorBody{})
}

func (row operatorRoute) scopeWords(path string) string {
	switch {
	case strings.Contains(path, "{tenant}") && !row.asks:
		return "the tenant in the path"
	case !row.asks:
		return "the service"
	case strings.Contains(path, "{tenant}"):
		return "the service, about the tenant in the path"
	case strings.HasPrefix(row.pattern, "GET ") && !strings.Contains(path, "{"):
		return "shows what is of tenants where the caller has it"
	}
	return "the tenant of what is named"
}

func (s *Service) getDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(openapi.JSON) // the client may have gone
}
