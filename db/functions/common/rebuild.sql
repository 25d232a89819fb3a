-- Hot status made anew from history: after writes past the engine, which it does not see, and in another time zone.

-- Writers hold their share of the horizon lock from before they read the time zone until they commit: none can add to
-- a total that is being recounted.
CREATE OR REPLACE FUNCTION engine.rebuild_daily_totals()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_days record;
BEGIN
    PERFORM engine.stop_writers();
    v_days := engine.fleet_days(clock_timestamp());
    PERFORM engine.rebuild_meter_status(v_days.today_from);
    PERFORM engine.recount_meter_days(v_days.today, v_days.today_from, v_days.tomorrow_from, v_days.tomorrow_to);
    PERFORM engine.rebuild_vehicle_status(v_days.today_from);
    PERFORM engine.recount_vehicle_days(v_days.today, v_days.today_from, v_days.tomorrow_from, v_days.tomorrow_to);
END
$$;
COMMENT ON FUNCTION engine.rebuild_daily_totals() IS
    'Recounts the current day''s totals of every device from history, in the fleet''s time zone, and takes the latest reading of those that reported today from there; for use after writes past the engine; ingest waits meanwhile';

CREATE OR REPLACE FUNCTION engine.rebuild_meter_status(p_from timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_meters text[] := engine.meters_since(p_from);
BEGIN
    DELETE FROM engine.meter_state AS m WHERE m.meter_id = ANY (v_meters);
    INSERT INTO engine.meter_state (meter_id, last_reading_at, kwh_consumed_ac, voltage, day, day_kwh, next_day_kwh)
    SELECT d.meter_id, r.ts, r.kwh_consumed_ac, r.voltage, r.ts::date, 0, 0
    FROM unnest(v_meters) AS d (meter_id)
    CROSS JOIN LATERAL (
        SELECT h.ts, h.kwh_consumed_ac, h.voltage FROM public.meter_telemetry_history AS h
        WHERE h.meter_id = d.meter_id
        ORDER BY h.ts DESC
        LIMIT 1
    ) AS r;
END
$$;
COMMENT ON FUNCTION engine.rebuild_meter_status(timestamptz) IS
    'Takes the latest reading of every meter that has one since a time, or seems to, from history; its daily totals are 0 then';

CREATE OR REPLACE FUNCTION engine.rebuild_vehicle_status(p_from timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_vehicles text[] := engine.vehicles_since(p_from);
BEGIN
    DELETE FROM engine.vehicle_state AS v WHERE v.vehicle_id = ANY (v_vehicles);
    INSERT INTO engine.vehicle_state (
        vehicle_id, last_reading_at, soc, kwh_delivered_dc, battery_temp, previous_reading_at, previous_soc,
        day, day_kwh, next_day_kwh
    )
    SELECT d.vehicle_id, r.ts, r.soc, r.kwh_delivered_dc, r.battery_temp, r.previous_ts, r.previous_soc, r.ts::date, 0, 0
    FROM unnest(v_vehicles) AS d (vehicle_id)
    CROSS JOIN LATERAL (
        SELECT t.ts, t.soc, t.kwh_delivered_dc, t.battery_temp,
            lead(t.ts) OVER newest_first AS previous_ts, lead(t.soc) OVER newest_first AS previous_soc
        FROM (
            SELECT h.ts, h.soc, h.kwh_delivered_dc, h.battery_temp FROM public.vehicle_telemetry_history AS h
            WHERE h.vehicle_id = d.vehicle_id
            ORDER BY h.ts DESC
            LIMIT 2
        ) AS t
        WINDOW newest_first AS (ORDER BY t.ts DESC)
        ORDER BY t.ts DESC
        LIMIT 1
    ) AS r;
END
$$;
COMMENT ON FUNCTION engine.rebuild_vehicle_status(timestamptz) IS
    'Takes the two latest readings of every vehicle that has one since a time, or seems to, from history; its daily totals are 0 then';
