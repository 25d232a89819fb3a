-- Applied last: what each role may do with everything above.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['analyst', 'ev_engine'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            -- Another database of this cluster was migrated at the same moment.
            NULL;
        END;
    END LOOP;
    -- Whoever migrates may also serve; where that takes an administrator, the service says so when it starts.
    BEGIN
        GRANT ev_engine TO CURRENT_USER;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;
    END;
END
$$;

GRANT USAGE ON SCHEMA public, engine TO analyst, ev_engine;
GRANT SELECT ON
    public.meter_telemetry_history, public.vehicle_telemetry_history,
    public.meter_telemetry_hourly, public.meter_telemetry_daily,
    public.vehicle_telemetry_hourly, public.vehicle_telemetry_daily,
    public.meter_current_status, public.vehicle_current_status, public.device_mapping,
    engine.settings, engine.retention, engine.horizon, engine.stale_hour
TO analyst, ev_engine;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA engine FROM PUBLIC;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA engine FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.vehicle_performance(text, integer, timestamptz, text),
    public.vehicle_trend(text, integer, timestamptz),
    public.fleet_efficiency(integer, timestamptz),
    public.fleet_overview()
TO analyst, ev_engine;
-- What a function does it does with its caller's rights, but for those that act as the owner: they are the service's alone.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA engine TO analyst, ev_engine;
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'engine'::regnamespace AND p.prosecdef
    LOOP
        EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM analyst', v_function);
    END LOOP;
END
$$;

-- The service adds to history; it can neither change nor delete what is there.
GRANT INSERT ON public.meter_telemetry_history, public.vehicle_telemetry_history TO ev_engine;
GRANT SELECT, INSERT, UPDATE ON engine.meter_state, engine.vehicle_state, engine.stale_hour TO ev_engine;
GRANT INSERT, DELETE ON public.device_mapping TO ev_engine;
GRANT EXECUTE ON PROCEDURE engine.run_upkeep, engine.apply_retention TO ev_engine;
