DELETE FROM engine.horizon;
DROP MATERIALIZED VIEW public.vehicle_telemetry_daily;
DROP MATERIALIZED VIEW public.vehicle_telemetry_hourly;
DROP MATERIALIZED VIEW public.meter_telemetry_daily;
DROP MATERIALIZED VIEW public.meter_telemetry_hourly;
