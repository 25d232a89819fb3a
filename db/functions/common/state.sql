-- Hot status: moved forward by the readings just stored (pg_temp.staged), whatever order they came in.
-- Today and tomorrow are summed apart: a clock that runs ahead over midnight must not end the day early.

-- A MERGE under one lock costs a third less than an upsert that locks row by row, and writes half the log.
CREATE OR REPLACE FUNCTION engine.lock_status() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('engine.meter_state'::regclass::oid::integer, 0);
END
$$;
COMMENT ON FUNCTION engine.lock_status() IS 'Waits until no other transaction updates hot status, and keeps others out until the end of this one';

-- Without a search_path of its own, so that the planner can put it in place of its call.
CREATE OR REPLACE FUNCTION engine.staged_devices(
    p_is_vehicle boolean, p_repeated boolean, p_today_from timestamptz, p_tomorrow_from timestamptz, p_tomorrow_to timestamptz
) RETURNS TABLE (
    device_id text, ts timestamptz, kwh numeric, soc numeric, voltage numeric, battery_temp numeric,
    previous_ts timestamptz, previous_soc numeric, day_kwh numeric, next_day_kwh numeric
) LANGUAGE sql STABLE AS $$
    SELECT
        s.device_id, s.ts, s.energy_e4 * 0.0001, s.soc_e4 * 0.0001, s.voltage_or_temp_e4 * 0.0001, s.voltage_or_temp_e4 * 0.0001, NULL, NULL,
        CASE WHEN s.ts >= p_today_from AND s.ts < p_tomorrow_from THEN s.energy_e4 * 0.0001 ELSE 0 END,
        CASE WHEN s.ts >= p_tomorrow_from AND s.ts < p_tomorrow_to THEN s.energy_e4 * 0.0001 ELSE 0 END
    FROM pg_temp.staged AS s
    WHERE s.is_vehicle = p_is_vehicle AND NOT p_repeated
    UNION ALL
    SELECT
        d.device_id, d.ts, d.energy_e4 * 0.0001, d.soc_e4 * 0.0001, d.voltage_or_temp_e4 * 0.0001, d.voltage_or_temp_e4 * 0.0001,
        d.previous_ts, d.previous_soc_e4 * 0.0001,
        coalesce(d.day_energy_e4, 0) * 0.0001, coalesce(d.next_day_energy_e4, 0) * 0.0001
    FROM (
        SELECT
            s.device_id, s.ts, s.energy_e4, s.soc_e4, s.voltage_or_temp_e4,
            row_number() OVER newest_first AS recency,
            lead(s.ts) OVER newest_first AS previous_ts,
            lead(s.soc_e4) OVER newest_first AS previous_soc_e4,
            sum(s.energy_e4) FILTER (WHERE s.ts >= p_today_from AND s.ts < p_tomorrow_from) OVER device AS day_energy_e4,
            sum(s.energy_e4) FILTER (WHERE s.ts >= p_tomorrow_from AND s.ts < p_tomorrow_to) OVER device AS next_day_energy_e4
        FROM pg_temp.staged AS s
        WHERE s.is_vehicle = p_is_vehicle AND p_repeated
        WINDOW device AS (PARTITION BY s.device_id), newest_first AS (PARTITION BY s.device_id ORDER BY s.ts DESC)
    ) AS d
    WHERE d.recency = 1
$$;
COMMENT ON FUNCTION engine.staged_devices(boolean, boolean, timestamptz, timestamptz, timestamptz) IS 'A row for each staged device: its latest reading (kWh, percent, and V and °C, of which the stream has one), the one before it, and its energy of today and tomorrow in kWh; repeated says whether some device is staged more than once';

CREATE OR REPLACE FUNCTION engine.day_total(p_wanted date, p_day date, p_day_kwh numeric, p_next_day_kwh numeric)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_wanted - p_day WHEN 0 THEN p_day_kwh WHEN 1 THEN p_next_day_kwh ELSE 0 END;
COMMENT ON FUNCTION engine.day_total(date, date, numeric, numeric) IS 'Energy in kWh of the day wanted, from a pair of totals: that of a day and that of the day after it';

-- After an INSERT or UPDATE past the engine, which hot status does not see, and in another time zone it is made anew from history.
-- Writers hold their share of the horizon lock from before they read the time zone until they commit: none can add to a
-- total that is being recounted.
CREATE OR REPLACE FUNCTION engine.rebuild_daily_totals() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM engine.stop_writers();
    PERFORM engine.recount_meter_status(NULL), engine.recount_vehicle_status(NULL);
END
$$;
COMMENT ON FUNCTION engine.rebuild_daily_totals() IS 'Recounts the current day''s totals of every device from history, in the fleet''s time zone, and takes the latest reading of those that reported today from there; for use after an INSERT or UPDATE past the engine; ingest waits meanwhile';
