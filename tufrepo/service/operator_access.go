package service

func (s *Service) accessRoutes() []operatorRoute { return nil }
