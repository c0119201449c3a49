package service

import (
	"slices"

	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
)

// DeviceRoutes are the patterns of the device port.
func (s *Service) DeviceRoutes() []string {
	var out []string
	for _, row := range s.deviceTable() {
		out = append(out, row.pattern)
	}
	return out
}

// OperatorRoutes are the patterns of the operator port that need a token.
func (s *Service) OperatorRoutes() []string {
	var out []string
	for _, row := range s.operatorTable() {
		out = append(out, row.pattern)
	}
	slices.Sort(out)
	return out
}

// Row is what a row of the operator port's table says.
type Row struct {
	Pattern    string
	Permission access.Permission
	Action     audit.Action
	Asks       bool
	In, Out    any
}

func (s *Service) OperatorRows() []Row {
	var out []Row
	for _, row := range s.operatorTable() {
		out = append(out, Row{row.pattern, row.permission, row.action, row.asks, row.in, row.out})
	}
	return out
}
