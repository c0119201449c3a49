package service

func (s *Service) enrollRoutes() []operatorRoute { return nil }
