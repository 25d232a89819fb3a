-- The service hands its configuration to the database at every start.

CREATE OR REPLACE FUNCTION engine.apply_settings(
    p_efficiency_excellent numeric, p_efficiency_warning numeric, p_efficiency_critical numeric,
    p_battery_temp_warning numeric, p_battery_temp_critical numeric,
    p_voltage_min numeric, p_voltage_max numeric,
    p_offline_after interval, p_fleet_timezone text
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old_timezone text;
BEGIN
    SELECT s.fleet_timezone INTO STRICT v_old_timezone FROM engine.settings AS s FOR UPDATE;
    UPDATE engine.settings SET
        efficiency_excellent = p_efficiency_excellent,
        efficiency_warning = p_efficiency_warning,
        efficiency_critical = p_efficiency_critical,
        battery_temp_warning = p_battery_temp_warning,
        battery_temp_critical = p_battery_temp_critical,
        voltage_min = p_voltage_min,
        voltage_max = p_voltage_max,
        offline_after = p_offline_after,
        fleet_timezone = p_fleet_timezone;
    IF p_fleet_timezone <> v_old_timezone THEN
        PERFORM engine.rebuild_daily_totals();
    END IF;
END
$$;
COMMENT ON FUNCTION engine.apply_settings(numeric, numeric, numeric, numeric, numeric, numeric, numeric, interval, text) IS
    'Stores the service''s configuration (thresholds in ratio, °C and V); a changed time zone recounts the daily totals';

-- Writers hold their share of the horizon lock from before they read the time zone until they commit: none can add to
-- a total that is being recounted.
CREATE OR REPLACE FUNCTION engine.rebuild_daily_totals()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_timezone text;
    v_today date;
    v_from timestamptz;
    v_next_from timestamptz;
    v_next_to timestamptz;
BEGIN
    PERFORM engine.await_writers();
    SELECT s.fleet_timezone INTO STRICT v_timezone FROM engine.settings AS s;
    v_today := (clock_timestamp() AT TIME ZONE v_timezone)::date;
    v_from := v_today::timestamp AT TIME ZONE v_timezone;
    v_next_from := (v_today + 1)::timestamp AT TIME ZONE v_timezone;
    v_next_to := (v_today + 2)::timestamp AT TIME ZONE v_timezone;

    UPDATE engine.meter_state AS m
    SET day = v_today, day_kwh = coalesce(t.day_kwh, 0), next_day_kwh = coalesce(t.next_day_kwh, 0)
    FROM engine.meter_state AS o
    LEFT JOIN (
        SELECT h.meter_id,
            sum(h.kwh_consumed_ac) FILTER (WHERE h.ts < v_next_from) AS day_kwh,
            sum(h.kwh_consumed_ac) FILTER (WHERE h.ts >= v_next_from) AS next_day_kwh
        FROM public.meter_telemetry_history AS h
        WHERE h.ts >= v_from AND h.ts < v_next_to
        GROUP BY h.meter_id
    ) AS t ON t.meter_id = o.meter_id
    WHERE o.meter_id = m.meter_id;

    UPDATE engine.vehicle_state AS v
    SET day = v_today, day_kwh = coalesce(t.day_kwh, 0), next_day_kwh = coalesce(t.next_day_kwh, 0)
    FROM engine.vehicle_state AS o
    LEFT JOIN (
        SELECT h.vehicle_id,
            sum(h.kwh_delivered_dc) FILTER (WHERE h.ts < v_next_from) AS day_kwh,
            sum(h.kwh_delivered_dc) FILTER (WHERE h.ts >= v_next_from) AS next_day_kwh
        FROM public.vehicle_telemetry_history AS h
        WHERE h.ts >= v_from AND h.ts < v_next_to
        GROUP BY h.vehicle_id
    ) AS t ON t.vehicle_id = o.vehicle_id
    WHERE o.vehicle_id = v.vehicle_id;

    UPDATE engine.horizon SET day_totals_after = '-infinity' WHERE isfinite(day_totals_after);
END
$$;
COMMENT ON FUNCTION engine.rebuild_daily_totals() IS
    'Recounts the current day''s totals of every device from history, in the fleet''s time zone, also after writes past the engine; ingest waits meanwhile';

CREATE OR REPLACE FUNCTION engine.set_analyst_password(p_verifier text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER ROLE analyst PASSWORD %L', p_verifier);
END
$$;
COMMENT ON FUNCTION engine.set_analyst_password(text) IS
    'Gives role analyst a password, told as its SCRAM verifier so that no log ever holds it; null takes it away';
