DROP TABLE public.vehicle_telemetry_15min;
DROP TABLE public.meter_telemetry_15min;
DELETE FROM engine.retention WHERE relation LIKE '%\_telemetry\_15min';
