-- What every meter consumed and every vehicle received in a period, by the parts that fleet_period.sql splits it into;
-- the rules of one device's energy (energy.sql) for all of them at once.

CREATE OR REPLACE FUNCTION engine.fleet_meter_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (meter_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_whole_from timestamptz := engine.kept_whole_from('meter');
    v_day_from timestamptz := engine.day_totals_from(p_from, p_to);
    v_split record;
BEGIN
    IF v_day_from IS NOT NULL THEN
        RETURN QUERY SELECT t.* FROM engine.fleet_meter_day_energy(v_day_from, p_to) AS t;
    END IF;
    SELECT * INTO v_split FROM engine.split_fleet_period(p_from, coalesce(v_day_from, p_to), v_whole_from);
    RETURN QUERY
        SELECT d.meter_id, sum(d.total_kwh_consumed_ac), sum(d.readings_count)::bigint
        FROM public.meter_telemetry_daily AS d
        WHERE d.bucket >= v_split.days_from AND d.bucket < v_split.days_to
            AND NOT EXISTS (
                SELECT FROM engine.stale_hour AS s
                WHERE s.stream = 'meter' AND s.device_id = d.meter_id AND date_bin('1 day', s.bucket, 'epoch') = d.bucket
            )
        GROUP BY d.meter_id;
    RETURN QUERY SELECT h.* FROM engine.rolled_up_fleet_meter_energy(v_split.hours_from, v_split.days_from) AS h;
    RETURN QUERY SELECT h.* FROM engine.rolled_up_fleet_meter_energy(v_split.days_to, v_split.hours_to) AS h;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_meter_energy(p_from, v_split.hours_from) AS r;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_meter_energy(v_split.hours_to, coalesce(v_day_from, p_to)) AS r;

    -- What is stale is left out above; its days are taken by the hour instead, and its hours from raw history. (Whatever the
    -- rollup shows of them would be told by its watermark, which is read when a query is planned and not by its snapshot.)
    IF EXISTS (
        SELECT FROM engine.stale_hour AS s
        WHERE s.stream = 'meter'
            AND s.bucket >= least(v_split.hours_from, v_split.days_from)
            AND s.bucket < greatest(v_split.hours_to, v_split.days_to)
    ) THEN
        RETURN QUERY
            SELECT h.meter_id, sum(h.total_kwh_consumed_ac), sum(h.readings_count)::bigint
            FROM (
                SELECT DISTINCT s.device_id, date_bin('1 day', s.bucket, 'epoch') AS day FROM engine.stale_hour AS s
                WHERE s.stream = 'meter' AND s.bucket >= v_split.days_from AND s.bucket < v_split.days_to
            ) AS k
            JOIN public.meter_telemetry_hourly AS h
                ON h.meter_id = k.device_id AND h.bucket >= k.day AND h.bucket < k.day + interval '1 day'
            WHERE h.bucket >= v_split.days_from AND h.bucket < v_split.days_to
                AND NOT EXISTS (
                    SELECT FROM engine.stale_hour AS s
                    WHERE s.stream = 'meter' AND s.device_id = h.meter_id AND s.bucket = h.bucket
                )
            GROUP BY h.meter_id;
        RETURN QUERY
            SELECT r.meter_id, sum(r.kwh_consumed_ac), count(*)
            FROM engine.stale_hour AS s
            JOIN public.meter_telemetry_history AS r
                ON r.meter_id = s.device_id AND r.ts >= s.bucket AND r.ts < s.bucket + interval '1 hour'
            WHERE s.stream = 'meter' AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
                AND r.ts >= v_split.hours_from AND r.ts < v_split.hours_to
            GROUP BY r.meter_id;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.fleet_meter_energy(timestamptz, timestamptz) IS
    'AC energy (kWh) and readings of every meter over [from, to): the rows of a meter add up; their readings tell whether there are any, not how many';

CREATE OR REPLACE FUNCTION engine.rolled_up_fleet_meter_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (meter_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT h.meter_id, sum(h.total_kwh_consumed_ac), sum(h.readings_count)::bigint
            FROM public.meter_telemetry_hourly AS h
            WHERE h.bucket >= p_from AND h.bucket < p_to
                AND NOT EXISTS (
                    SELECT FROM engine.stale_hour AS s
                    WHERE s.stream = 'meter' AND s.device_id = h.meter_id AND s.bucket = h.bucket
                )
            GROUP BY h.meter_id;
    ELSIF p_to < p_from THEN
        RETURN QUERY SELECT h.meter_id, -h.kwh, -h.readings FROM engine.rolled_up_fleet_meter_energy(p_to, p_from) AS h;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.rolled_up_fleet_meter_energy(timestamptz, timestamptz) IS
    'AC energy (kWh) and readings of every meter in the whole hours of [from, to), as the rollup holds them, without the stale ones; negative from a later time to an earlier';

CREATE OR REPLACE FUNCTION engine.raw_fleet_meter_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (meter_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT r.meter_id, sum(r.kwh_consumed_ac), count(*)
            FROM public.meter_telemetry_history AS r
            WHERE r.ts >= p_from AND r.ts < p_to
            GROUP BY r.meter_id;
    ELSIF p_to < p_from THEN
        RETURN QUERY SELECT r.meter_id, -r.kwh, -r.readings FROM engine.raw_fleet_meter_energy(p_to, p_from) AS r;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.raw_fleet_meter_energy(timestamptz, timestamptz) IS
    'AC energy (kWh) and readings of every meter over [from, to), from raw history alone; negative from a later time to an earlier';

CREATE OR REPLACE FUNCTION engine.fleet_meter_day_energy(p_day_from timestamptz, p_to timestamptz)
RETURNS TABLE (meter_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_timezone text := (SELECT s.fleet_timezone FROM engine.settings AS s);
    v_day date := (p_day_from AT TIME ZONE v_timezone)::date;
    v_next_from timestamptz := engine.day_start(v_day + 1, v_timezone);
BEGIN
    RETURN QUERY
        SELECT t.meter_id, engine.day_total(v_day, t.day, t.day_kwh, t.next_day_kwh), 1::bigint
        FROM engine.meter_state AS t
        WHERE t.last_reading_at >= p_day_from AND t.last_reading_at < p_to;
    RETURN QUERY
        SELECT t.meter_id, engine.day_total(v_day, t.day, t.day_kwh, t.next_day_kwh), found.readings
        FROM engine.meter_state AS t
        CROSS JOIN LATERAL (
            SELECT count(*) AS readings
            FROM (
                SELECT FROM public.meter_telemetry_history AS r
                WHERE r.meter_id = t.meter_id AND r.ts >= p_day_from AND r.ts < p_to
                LIMIT 1
            ) AS one
        ) AS found
        WHERE t.last_reading_at >= p_to;
    RETURN QUERY
        SELECT r.meter_id, r.kwh, 0::bigint FROM engine.raw_fleet_meter_energy(v_next_from, p_to) AS r;
END
$$;
COMMENT ON FUNCTION engine.fleet_meter_day_energy(timestamptz, timestamptz) IS
    'The same as engine.fleet_meter_energy from a local midnight on, out of the daily totals of hot status less what came after the period';

CREATE OR REPLACE FUNCTION engine.fleet_vehicle_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_whole_from timestamptz := engine.kept_whole_from('vehicle');
    v_day_from timestamptz := engine.day_totals_from(p_from, p_to);
    v_split record;
BEGIN
    IF v_day_from IS NOT NULL THEN
        RETURN QUERY SELECT t.* FROM engine.fleet_vehicle_day_energy(v_day_from, p_to) AS t;
    END IF;
    SELECT * INTO v_split FROM engine.split_fleet_period(p_from, coalesce(v_day_from, p_to), v_whole_from);
    RETURN QUERY
        SELECT d.vehicle_id, sum(d.total_kwh_delivered_dc), sum(d.readings_count)::bigint
        FROM public.vehicle_telemetry_daily AS d
        WHERE d.bucket >= v_split.days_from AND d.bucket < v_split.days_to
            AND NOT EXISTS (
                SELECT FROM engine.stale_hour AS s
                WHERE s.stream = 'vehicle' AND s.device_id = d.vehicle_id AND date_bin('1 day', s.bucket, 'epoch') = d.bucket
            )
        GROUP BY d.vehicle_id;
    RETURN QUERY SELECT h.* FROM engine.rolled_up_fleet_vehicle_energy(v_split.hours_from, v_split.days_from) AS h;
    RETURN QUERY SELECT h.* FROM engine.rolled_up_fleet_vehicle_energy(v_split.days_to, v_split.hours_to) AS h;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_vehicle_energy(p_from, v_split.hours_from) AS r;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_vehicle_energy(v_split.hours_to, coalesce(v_day_from, p_to)) AS r;

    -- What is stale is left out above; its days are taken by the hour instead, and its hours from raw history. (Whatever the
    -- rollup shows of them would be told by its watermark, which is read when a query is planned and not by its snapshot.)
    IF EXISTS (
        SELECT FROM engine.stale_hour AS s
        WHERE s.stream = 'vehicle'
            AND s.bucket >= least(v_split.hours_from, v_split.days_from)
            AND s.bucket < greatest(v_split.hours_to, v_split.days_to)
    ) THEN
        RETURN QUERY
            SELECT h.vehicle_id, sum(h.total_kwh_delivered_dc), sum(h.readings_count)::bigint
            FROM (
                SELECT DISTINCT s.device_id, date_bin('1 day', s.bucket, 'epoch') AS day FROM engine.stale_hour AS s
                WHERE s.stream = 'vehicle' AND s.bucket >= v_split.days_from AND s.bucket < v_split.days_to
            ) AS k
            JOIN public.vehicle_telemetry_hourly AS h
                ON h.vehicle_id = k.device_id AND h.bucket >= k.day AND h.bucket < k.day + interval '1 day'
            WHERE h.bucket >= v_split.days_from AND h.bucket < v_split.days_to
                AND NOT EXISTS (
                    SELECT FROM engine.stale_hour AS s
                    WHERE s.stream = 'vehicle' AND s.device_id = h.vehicle_id AND s.bucket = h.bucket
                )
            GROUP BY h.vehicle_id;
        RETURN QUERY
            SELECT r.vehicle_id, sum(r.kwh_delivered_dc), count(*)
            FROM engine.stale_hour AS s
            JOIN public.vehicle_telemetry_history AS r
                ON r.vehicle_id = s.device_id AND r.ts >= s.bucket AND r.ts < s.bucket + interval '1 hour'
            WHERE s.stream = 'vehicle' AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
                AND r.ts >= v_split.hours_from AND r.ts < v_split.hours_to
            GROUP BY r.vehicle_id;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.fleet_vehicle_energy(timestamptz, timestamptz) IS
    'DC energy (kWh) and readings of every vehicle over [from, to): the rows of a vehicle add up; their readings tell whether there are any, not how many';

CREATE OR REPLACE FUNCTION engine.rolled_up_fleet_vehicle_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT h.vehicle_id, sum(h.total_kwh_delivered_dc), sum(h.readings_count)::bigint
            FROM public.vehicle_telemetry_hourly AS h
            WHERE h.bucket >= p_from AND h.bucket < p_to
                AND NOT EXISTS (
                    SELECT FROM engine.stale_hour AS s
                    WHERE s.stream = 'vehicle' AND s.device_id = h.vehicle_id AND s.bucket = h.bucket
                )
            GROUP BY h.vehicle_id;
    ELSIF p_to < p_from THEN
        RETURN QUERY SELECT h.vehicle_id, -h.kwh, -h.readings FROM engine.rolled_up_fleet_vehicle_energy(p_to, p_from) AS h;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.rolled_up_fleet_vehicle_energy(timestamptz, timestamptz) IS
    'DC energy (kWh) and readings of every vehicle in the whole hours of [from, to), as the rollup holds them, without the stale ones; negative from a later time to an earlier';

CREATE OR REPLACE FUNCTION engine.raw_fleet_vehicle_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT r.vehicle_id, sum(r.kwh_delivered_dc), count(*)
            FROM public.vehicle_telemetry_history AS r
            WHERE r.ts >= p_from AND r.ts < p_to
            GROUP BY r.vehicle_id;
    ELSIF p_to < p_from THEN
        RETURN QUERY SELECT r.vehicle_id, -r.kwh, -r.readings FROM engine.raw_fleet_vehicle_energy(p_to, p_from) AS r;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.raw_fleet_vehicle_energy(timestamptz, timestamptz) IS
    'DC energy (kWh) and readings of every vehicle over [from, to), from raw history alone; negative from a later time to an earlier';

CREATE OR REPLACE FUNCTION engine.fleet_vehicle_day_energy(p_day_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh numeric, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_timezone text := (SELECT s.fleet_timezone FROM engine.settings AS s);
    v_day date := (p_day_from AT TIME ZONE v_timezone)::date;
    v_next_from timestamptz := engine.day_start(v_day + 1, v_timezone);
BEGIN
    RETURN QUERY
        SELECT t.vehicle_id, engine.day_total(v_day, t.day, t.day_kwh, t.next_day_kwh), 1::bigint
        FROM engine.vehicle_state AS t
        WHERE t.last_reading_at >= p_day_from AND t.last_reading_at < p_to;
    RETURN QUERY
        SELECT t.vehicle_id, engine.day_total(v_day, t.day, t.day_kwh, t.next_day_kwh), found.readings
        FROM engine.vehicle_state AS t
        CROSS JOIN LATERAL (
            SELECT count(*) AS readings
            FROM (
                SELECT FROM public.vehicle_telemetry_history AS r
                WHERE r.vehicle_id = t.vehicle_id AND r.ts >= p_day_from AND r.ts < p_to
                LIMIT 1
            ) AS one
        ) AS found
        WHERE t.last_reading_at >= p_to;
    RETURN QUERY
        SELECT r.vehicle_id, r.kwh, 0::bigint FROM engine.raw_fleet_vehicle_energy(v_next_from, p_to) AS r;
END
$$;
COMMENT ON FUNCTION engine.fleet_vehicle_day_energy(timestamptz, timestamptz) IS
    'The same as engine.fleet_vehicle_energy from a local midnight on, out of the daily totals of hot status less what came after the period';
