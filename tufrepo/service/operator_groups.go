package service

func (s *Service) groupRoutes() []operatorRoute { return nil }
