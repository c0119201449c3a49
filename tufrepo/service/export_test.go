package service

import "slices"

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
