-- Applied last: what each role may do with everything above.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'analyst') THEN
        CREATE ROLE analyst NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    -- Another database of this cluster was migrated at the same moment.
    NULL;
END
$$;
GRANT USAGE ON SCHEMA public, engine TO analyst;
GRANT SELECT ON
    public.meter_telemetry_history, public.vehicle_telemetry_history,
    public.meter_telemetry_hourly, public.meter_telemetry_daily,
    public.vehicle_telemetry_hourly, public.vehicle_telemetry_daily,
    public.meter_current_status, public.vehicle_current_status, public.device_mapping,
    engine.settings, engine.retention, engine.horizon, engine.stale_hour
TO analyst;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA engine FROM PUBLIC;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA engine FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.vehicle_performance(text, integer, timestamptz, text),
    public.vehicle_trend(text, integer, timestamptz),
    public.fleet_efficiency(integer, timestamptz),
    public.fleet_overview()
TO analyst;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA engine TO analyst;
