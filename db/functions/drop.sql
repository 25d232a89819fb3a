-- Removes what the files beside this one create, so that migrations can be rolled back under it.
DROP VIEW IF EXISTS
    public.meter_current_status, engine.meter_reading, engine.meter_15min, engine.meter_hourly, engine.meter_daily,
    public.vehicle_current_status, engine.vehicle_reading, engine.vehicle_15min, engine.vehicle_hourly, engine.vehicle_daily
CASCADE;
DROP FUNCTION IF EXISTS
    public.vehicle_performance(text, integer, timestamptz, text), public.vehicle_trend(text, integer, timestamptz),
    public.vehicle_energy(timestamptz, timestamptz), public.fleet_efficiency(integer, timestamptz),
    public.fleet_trend(timestamptz, timestamptz, text), public.fleet_vehicles(timestamptz, timestamptz), public.fleet_chargers(timestamptz, timestamptz),
    public.fleet_overview();
DO $$
DECLARE
    v_routine text;
BEGIN
    -- All but what belongs to a type.
    FOREACH v_routine IN ARRAY ARRAY(
        SELECT p.oid::regprocedure::text FROM pg_proc AS p
        WHERE p.pronamespace = to_regnamespace('engine')
            AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    ) LOOP
        EXECUTE 'DROP ROUTINE IF EXISTS ' || v_routine || ' CASCADE';
    END LOOP;
END
$$;
