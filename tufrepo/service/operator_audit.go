package service

func (s *Service) auditRoutes() []operatorRoute { return nil }
