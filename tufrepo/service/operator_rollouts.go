package service

func (s *Service) rolloutRoutes() []operatorRoute { return nil }
