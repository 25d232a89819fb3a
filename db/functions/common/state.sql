-- Hot status: moved forward by the readings just stored (pg_temp.staged), whatever order they came in.
-- Today and tomorrow are summed apart: a clock that runs ahead over midnight must not end the day early.

-- A MERGE under one lock costs a third less than an upsert that locks row by row, and writes half the log.
CREATE OR REPLACE FUNCTION engine.take_status_turn()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('engine.meter_state'::regclass::oid::integer, 0);
END
$$;
COMMENT ON FUNCTION engine.take_status_turn() IS
    'Waits until no other transaction updates hot status, and keeps others out until the end of this one';

-- A few devices are looked up by index, with a plan made once for a connection. For many, one pass over the fleet may be
-- cheaper: a plan made for the batch at hand weighs that. Left alone, the server keeps whichever plan it made first.
CREATE OR REPLACE FUNCTION engine.choose_status_plan(p_readings bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_readings < 2000 THEN
        PERFORM set_config('plan_cache_mode', 'force_generic_plan', true),
            set_config('enable_hashjoin', 'off', true),
            set_config('enable_mergejoin', 'off', true);
    ELSE
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    END IF;
END
$$;
COMMENT ON FUNCTION engine.choose_status_plan(bigint) IS
    'Tells the planner, until the end of the transaction, how many readings the updates of hot status are for';

CREATE OR REPLACE FUNCTION engine.update_meter_state()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_timezone text := (SELECT fleet_timezone FROM engine.settings);
    v_today date := (now() AT TIME ZONE v_timezone)::date;
    v_today_from timestamptz := engine.day_start(v_today, v_timezone);
    v_next_from timestamptz := engine.day_start(v_today + 1, v_timezone);
    v_next_to timestamptz := engine.day_start(v_today + 2, v_timezone);
    v_repeated boolean := EXISTS (
        SELECT FROM pg_temp.staged AS s WHERE NOT s.is_vehicle GROUP BY s.device_id HAVING count(*) > 1
    );
BEGIN
    MERGE INTO engine.meter_state AS m
    USING (
        SELECT
            s.device_id, s.ts, s.energy * 0.0001 AS kwh, s.voltage_or_temp * 0.0001 AS voltage,
            CASE WHEN s.ts >= v_today_from AND s.ts < v_next_from THEN s.energy * 0.0001 ELSE 0 END AS day_kwh,
            CASE WHEN s.ts >= v_next_from AND s.ts < v_next_to THEN s.energy * 0.0001 ELSE 0 END AS next_day_kwh
        FROM pg_temp.staged AS s
        WHERE NOT s.is_vehicle AND NOT v_repeated
        UNION ALL
        SELECT d.device_id, d.ts, d.energy * 0.0001, d.voltage_or_temp * 0.0001,
            coalesce(d.day_energy, 0) * 0.0001, coalesce(d.next_day_energy, 0) * 0.0001
        FROM (
            SELECT
                s.device_id, s.ts, s.energy, s.voltage_or_temp,
                row_number() OVER newest_first AS recency,
                sum(s.energy) FILTER (WHERE s.ts >= v_today_from AND s.ts < v_next_from) OVER device AS day_energy,
                sum(s.energy) FILTER (WHERE s.ts >= v_next_from AND s.ts < v_next_to) OVER device AS next_day_energy
            FROM pg_temp.staged AS s
            WHERE NOT s.is_vehicle AND v_repeated
            WINDOW device AS (PARTITION BY s.device_id), newest_first AS (PARTITION BY s.device_id ORDER BY s.ts DESC)
        ) AS d
        WHERE d.recency = 1
    ) AS r ON m.meter_id = r.device_id
    WHEN MATCHED THEN UPDATE SET
        last_reading_at = greatest(m.last_reading_at, r.ts),
        kwh_consumed_ac = CASE WHEN r.ts > m.last_reading_at THEN r.kwh ELSE m.kwh_consumed_ac END,
        voltage = CASE WHEN r.ts > m.last_reading_at THEN r.voltage ELSE m.voltage END,
        day = greatest(m.day, v_today),
        day_kwh = engine.day_total(greatest(m.day, v_today), m.day, m.day_kwh, m.next_day_kwh)
            + engine.day_total(greatest(m.day, v_today), v_today, r.day_kwh, r.next_day_kwh),
        next_day_kwh = engine.day_total(greatest(m.day, v_today) + 1, m.day, m.day_kwh, m.next_day_kwh)
            + engine.day_total(greatest(m.day, v_today) + 1, v_today, r.day_kwh, r.next_day_kwh)
    WHEN NOT MATCHED THEN INSERT
        (meter_id, last_reading_at, kwh_consumed_ac, voltage, day, day_kwh, next_day_kwh)
    VALUES
        (r.device_id, r.ts, r.kwh, r.voltage, v_today, r.day_kwh, r.next_day_kwh);
END
$$;
COMMENT ON FUNCTION engine.update_meter_state() IS
    'Moves meter status forward and adds to its daily totals from the readings in the staging table, each of which must be new';

-- Two readings are kept: whether a vehicle discharges is told by the one before the latest, which may arrive after it.
CREATE OR REPLACE FUNCTION engine.update_vehicle_state()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_timezone text := (SELECT fleet_timezone FROM engine.settings);
    v_today date := (now() AT TIME ZONE v_timezone)::date;
    v_today_from timestamptz := engine.day_start(v_today, v_timezone);
    v_next_from timestamptz := engine.day_start(v_today + 1, v_timezone);
    v_next_to timestamptz := engine.day_start(v_today + 2, v_timezone);
    v_repeated boolean := EXISTS (
        SELECT FROM pg_temp.staged AS s WHERE s.is_vehicle GROUP BY s.device_id HAVING count(*) > 1
    );
BEGIN
    MERGE INTO engine.vehicle_state AS v
    USING (
        SELECT
            s.device_id, s.ts, s.soc * 0.0001 AS soc, s.energy * 0.0001 AS kwh, s.voltage_or_temp * 0.0001 AS battery_temp,
            NULL::timestamptz AS previous_ts, NULL::numeric AS previous_soc,
            CASE WHEN s.ts >= v_today_from AND s.ts < v_next_from THEN s.energy * 0.0001 ELSE 0 END AS day_kwh,
            CASE WHEN s.ts >= v_next_from AND s.ts < v_next_to THEN s.energy * 0.0001 ELSE 0 END AS next_day_kwh
        FROM pg_temp.staged AS s
        WHERE s.is_vehicle AND NOT v_repeated
        UNION ALL
        SELECT d.device_id, d.ts, d.soc * 0.0001, d.energy * 0.0001, d.voltage_or_temp * 0.0001,
            d.previous_ts, d.previous_soc * 0.0001,
            coalesce(d.day_energy, 0) * 0.0001, coalesce(d.next_day_energy, 0) * 0.0001
        FROM (
            SELECT
                s.device_id, s.ts, s.soc, s.energy, s.voltage_or_temp,
                row_number() OVER newest_first AS recency,
                lead(s.ts) OVER newest_first AS previous_ts,
                lead(s.soc) OVER newest_first AS previous_soc,
                sum(s.energy) FILTER (WHERE s.ts >= v_today_from AND s.ts < v_next_from) OVER device AS day_energy,
                sum(s.energy) FILTER (WHERE s.ts >= v_next_from AND s.ts < v_next_to) OVER device AS next_day_energy
            FROM pg_temp.staged AS s
            WHERE s.is_vehicle AND v_repeated
            WINDOW device AS (PARTITION BY s.device_id), newest_first AS (PARTITION BY s.device_id ORDER BY s.ts DESC)
        ) AS d
        WHERE d.recency = 1
    ) AS r ON v.vehicle_id = r.device_id
    WHEN MATCHED THEN UPDATE SET
        last_reading_at = greatest(v.last_reading_at, r.ts),
        soc = CASE WHEN r.ts > v.last_reading_at THEN r.soc ELSE v.soc END,
        kwh_delivered_dc = CASE WHEN r.ts > v.last_reading_at THEN r.kwh ELSE v.kwh_delivered_dc END,
        battery_temp = CASE WHEN r.ts > v.last_reading_at THEN r.battery_temp ELSE v.battery_temp END,
        previous_reading_at = CASE
            WHEN r.ts > v.last_reading_at THEN greatest(v.last_reading_at, r.previous_ts)
            ELSE greatest(v.previous_reading_at, r.ts)
        END,
        previous_soc = CASE
            WHEN r.previous_ts > v.last_reading_at THEN r.previous_soc
            WHEN r.ts > v.last_reading_at THEN v.soc
            WHEN v.previous_reading_at > r.ts THEN v.previous_soc
            ELSE r.soc
        END,
        day = greatest(v.day, v_today),
        day_kwh = engine.day_total(greatest(v.day, v_today), v.day, v.day_kwh, v.next_day_kwh)
            + engine.day_total(greatest(v.day, v_today), v_today, r.day_kwh, r.next_day_kwh),
        next_day_kwh = engine.day_total(greatest(v.day, v_today) + 1, v.day, v.day_kwh, v.next_day_kwh)
            + engine.day_total(greatest(v.day, v_today) + 1, v_today, r.day_kwh, r.next_day_kwh)
    WHEN NOT MATCHED THEN INSERT
        (vehicle_id, last_reading_at, soc, kwh_delivered_dc, battery_temp, previous_reading_at, previous_soc,
            day, day_kwh, next_day_kwh)
    VALUES
        (r.device_id, r.ts, r.soc, r.kwh, r.battery_temp, r.previous_ts, r.previous_soc,
            v_today, r.day_kwh, r.next_day_kwh);
END
$$;
COMMENT ON FUNCTION engine.update_vehicle_state() IS
    'Moves vehicle status forward and adds to its daily totals from the readings in the staging table, each of which must be new';

CREATE OR REPLACE FUNCTION engine.day_total(p_wanted date, p_day date, p_day_kwh numeric, p_next_day_kwh numeric)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_wanted - p_day WHEN 0 THEN p_day_kwh WHEN 1 THEN p_next_day_kwh ELSE 0 END;
COMMENT ON FUNCTION engine.day_total(date, date, numeric, numeric) IS
    'Energy in kWh of the day wanted, from a pair of totals: that of a day and that of the day after it';
