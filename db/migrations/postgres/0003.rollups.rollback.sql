DELETE FROM engine.horizon;
DROP TABLE public.vehicle_telemetry_daily;
DROP TABLE public.vehicle_telemetry_hourly;
DROP TABLE public.meter_telemetry_daily;
DROP TABLE public.meter_telemetry_hourly;
