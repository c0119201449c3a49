-- No device sends logs; how long the service's own are kept is no tenant's matter.
ALTER TABLE settings DROP COLUMN log_days;
