DROP TABLE public.device_mapping;
DROP SCHEMA engine CASCADE;
