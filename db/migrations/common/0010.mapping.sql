-- Clients that have no infinite times read public.device_mapping, a view with null for an open end (functions/common/mapping.sql).
-- depends: 0009.doubtful_readings

ALTER TABLE public.device_mapping SET SCHEMA engine;
ALTER TABLE engine.device_mapping RENAME TO mapping;
