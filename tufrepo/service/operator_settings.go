package service

func (s *Service) settingsRoutes() []operatorRoute { return nil }
