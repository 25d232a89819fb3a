SELECT public.delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_schema = 'engine';
DELETE FROM engine.horizon;
DROP MATERIALIZED VIEW public.vehicle_telemetry_daily;
DROP MATERIALIZED VIEW public.vehicle_telemetry_hourly;
DROP MATERIALIZED VIEW public.meter_telemetry_daily;
DROP MATERIALIZED VIEW public.meter_telemetry_hourly;
