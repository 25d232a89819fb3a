-- Hot status made anew from history: after writes past the engine, which it does not see, and in another time zone.

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
    PERFORM engine.stop_writers();
    SELECT s.fleet_timezone INTO STRICT v_timezone FROM engine.settings AS s;
    v_today := (clock_timestamp() AT TIME ZONE v_timezone)::date;
    v_from := engine.day_start(v_today, v_timezone);
    v_next_from := engine.day_start(v_today + 1, v_timezone);
    v_next_to := engine.day_start(v_today + 2, v_timezone);

    PERFORM engine.rebuild_meter_status(v_from);
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

    PERFORM engine.rebuild_vehicle_status(v_from);
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
    'Recounts the current day''s totals of every device from history, in the fleet''s time zone, and takes the latest reading of those that reported today from there; for use after writes past the engine; ingest waits meanwhile';

CREATE OR REPLACE FUNCTION engine.rebuild_meter_status(p_from timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_meters text[] := ARRAY(
        SELECT h.meter_id FROM public.meter_telemetry_history AS h WHERE h.ts >= p_from
        UNION
        SELECT m.meter_id FROM engine.meter_state AS m WHERE m.last_reading_at >= p_from
    );
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
    v_vehicles text[] := ARRAY(
        SELECT h.vehicle_id FROM public.vehicle_telemetry_history AS h WHERE h.ts >= p_from
        UNION
        SELECT v.vehicle_id FROM engine.vehicle_state AS v WHERE v.last_reading_at >= p_from
    );
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
