DROP VIEW IF EXISTS public.device_mapping;
ALTER TABLE engine.mapping RENAME TO device_mapping;
ALTER TABLE engine.device_mapping SET SCHEMA public;
