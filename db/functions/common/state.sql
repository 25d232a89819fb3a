-- Hot status: moved forward by the readings just stored (pg_temp.staged), whatever order they came in.
-- Today and tomorrow are summed apart: a clock that runs ahead over midnight must not end the day early.

CREATE OR REPLACE FUNCTION engine.update_meter_state()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_timezone text := (SELECT fleet_timezone FROM engine.settings);
    v_today date := (now() AT TIME ZONE v_timezone)::date;
    v_today_from timestamptz := v_today::timestamp AT TIME ZONE v_timezone;
    v_next_from timestamptz := (v_today + 1)::timestamp AT TIME ZONE v_timezone;
    v_next_to timestamptz := (v_today + 2)::timestamp AT TIME ZONE v_timezone;
BEGIN
    INSERT INTO engine.meter_state AS m
        (meter_id, last_reading_at, kwh_consumed_ac, voltage, day, day_kwh, next_day_kwh)
    SELECT r.device_id, r.ts, r.kwh, r.voltage_or_temp, v_today, coalesce(r.day_kwh, 0), coalesce(r.next_day_kwh, 0)
    FROM (
        SELECT
            s.device_id, s.ts, s.kwh, s.voltage_or_temp,
            row_number() OVER newest_first AS recency,
            sum(s.kwh) FILTER (WHERE s.ts >= v_today_from AND s.ts < v_next_from) OVER device AS day_kwh,
            sum(s.kwh) FILTER (WHERE s.ts >= v_next_from AND s.ts < v_next_to) OVER device AS next_day_kwh
        FROM (
            SELECT staged.*, staged.energy_kwh::numeric(12, 4) AS kwh
            FROM pg_temp.staged
            WHERE NOT staged.is_vehicle
        ) AS s
        WINDOW device AS (PARTITION BY s.device_id), newest_first AS (PARTITION BY s.device_id ORDER BY s.ts DESC)
    ) AS r
    WHERE r.recency = 1
    ORDER BY r.device_id
    ON CONFLICT (meter_id) DO UPDATE SET
        last_reading_at = greatest(m.last_reading_at, excluded.last_reading_at),
        kwh_consumed_ac = CASE WHEN excluded.last_reading_at > m.last_reading_at THEN excluded.kwh_consumed_ac ELSE m.kwh_consumed_ac END,
        voltage = CASE WHEN excluded.last_reading_at > m.last_reading_at THEN excluded.voltage ELSE m.voltage END,
        day = greatest(m.day, excluded.day),
        day_kwh = engine.day_total(greatest(m.day, excluded.day), m.day, m.day_kwh, m.next_day_kwh)
            + engine.day_total(greatest(m.day, excluded.day), excluded.day, excluded.day_kwh, excluded.next_day_kwh),
        next_day_kwh = engine.day_total(greatest(m.day, excluded.day) + 1, m.day, m.day_kwh, m.next_day_kwh)
            + engine.day_total(greatest(m.day, excluded.day) + 1, excluded.day, excluded.day_kwh, excluded.next_day_kwh);
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
    v_today_from timestamptz := v_today::timestamp AT TIME ZONE v_timezone;
    v_next_from timestamptz := (v_today + 1)::timestamp AT TIME ZONE v_timezone;
    v_next_to timestamptz := (v_today + 2)::timestamp AT TIME ZONE v_timezone;
BEGIN
    INSERT INTO engine.vehicle_state AS v
        (vehicle_id, last_reading_at, soc, kwh_delivered_dc, battery_temp, previous_reading_at, previous_soc,
        day, day_kwh, next_day_kwh)
    SELECT
        r.device_id, r.ts, r.soc, r.kwh, r.voltage_or_temp, r.previous_ts, r.previous_soc,
        v_today, coalesce(r.day_kwh, 0), coalesce(r.next_day_kwh, 0)
    FROM (
        SELECT
            s.device_id, s.ts, s.soc, s.kwh, s.voltage_or_temp,
            row_number() OVER newest_first AS recency,
            lead(s.ts) OVER newest_first AS previous_ts,
            lead(s.soc) OVER newest_first AS previous_soc,
            sum(s.kwh) FILTER (WHERE s.ts >= v_today_from AND s.ts < v_next_from) OVER device AS day_kwh,
            sum(s.kwh) FILTER (WHERE s.ts >= v_next_from AND s.ts < v_next_to) OVER device AS next_day_kwh
        FROM (
            SELECT staged.*, staged.energy_kwh::numeric(12, 4) AS kwh
            FROM pg_temp.staged
            WHERE staged.is_vehicle
        ) AS s
        WINDOW device AS (PARTITION BY s.device_id), newest_first AS (PARTITION BY s.device_id ORDER BY s.ts DESC)
    ) AS r
    WHERE r.recency = 1
    ORDER BY r.device_id
    ON CONFLICT (vehicle_id) DO UPDATE SET
        last_reading_at = greatest(v.last_reading_at, excluded.last_reading_at),
        soc = CASE WHEN excluded.last_reading_at > v.last_reading_at THEN excluded.soc ELSE v.soc END,
        kwh_delivered_dc = CASE WHEN excluded.last_reading_at > v.last_reading_at THEN excluded.kwh_delivered_dc ELSE v.kwh_delivered_dc END,
        battery_temp = CASE WHEN excluded.last_reading_at > v.last_reading_at THEN excluded.battery_temp ELSE v.battery_temp END,
        previous_reading_at = CASE
            WHEN excluded.last_reading_at > v.last_reading_at THEN greatest(v.last_reading_at, excluded.previous_reading_at)
            ELSE greatest(v.previous_reading_at, excluded.last_reading_at)
        END,
        previous_soc = CASE
            WHEN excluded.previous_reading_at > v.last_reading_at THEN excluded.previous_soc
            WHEN excluded.last_reading_at > v.last_reading_at THEN v.soc
            WHEN v.previous_reading_at > excluded.last_reading_at THEN v.previous_soc
            ELSE excluded.soc
        END,
        day = greatest(v.day, excluded.day),
        day_kwh = engine.day_total(greatest(v.day, excluded.day), v.day, v.day_kwh, v.next_day_kwh)
            + engine.day_total(greatest(v.day, excluded.day), excluded.day, excluded.day_kwh, excluded.next_day_kwh),
        next_day_kwh = engine.day_total(greatest(v.day, excluded.day) + 1, v.day, v.day_kwh, v.next_day_kwh)
            + engine.day_total(greatest(v.day, excluded.day) + 1, excluded.day, excluded.day_kwh, excluded.next_day_kwh);
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
