package service

import (
	"maps"
	"slices"
)

// DeviceRoutes are the patterns of the device port.
func (s *Service) DeviceRoutes() []string {
	var out []string
	for _, row := range s.deviceTable() {
		out = append(out, row.pattern)
	}
	return out
}

// OperatorRoutes are the patterns of the operator port that need the token.
func (s *Service) OperatorRoutes() []string { return slices.Sorted(maps.Keys(s.operatorTable())) }
