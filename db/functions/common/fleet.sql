-- The fleet's efficiency: the rules of energy.sql for every device at once. A period of a day that ends now is a million
-- raw readings at its two cut hours alone, so this takes what is summed up already wherever that is cheaper: the daily
-- totals of hot status for the day under way, the daily rollup for whole days, and for a cut hour or day either its part
-- inside the period or all of it less the part outside. As with integrals, the energy from a later time to an earlier one
-- is that between them, negative.

CREATE OR REPLACE FUNCTION engine.split_fleet_period(
    p_from timestamptz, p_to timestamptz, p_whole_from timestamptz,
    OUT hours_from timestamptz, OUT hours_to timestamptz, OUT days_from timestamptz, OUT days_to timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz := engine.rollups_until();
BEGIN
    hours_from := engine.nearest_start('1 hour', p_from, p_whole_from);
    hours_to := least(engine.nearest_end('1 hour', p_to, p_whole_from, v_until), v_until);
    IF hours_to <= hours_from THEN
        hours_from := p_from;
        hours_to := p_from;
    END IF;
    days_from := engine.nearest_start('1 day', hours_from, p_whole_from);
    days_to := engine.nearest_end('1 day', hours_to, p_whole_from, v_until);
    -- Days pay only where fewer hours are left to add and to subtract than the period has.
    IF days_to <= days_from OR greatest(hours_from - days_from, days_from - hours_from)
        + greatest(hours_to - days_to, days_to - hours_to) >= hours_to - hours_from
    THEN
        days_from := hours_from;
        days_to := hours_from;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.split_fleet_period(timestamptz, timestamptz, timestamptz) IS
    'Splits [from, to) into raw from -> hours_from, rolled-up hours_from -> days_from -> days_to -> hours_to, and raw hours_to -> to, each of which may be empty or, after whole_from, lead backwards';

CREATE OR REPLACE FUNCTION engine.nearest_start(p_width interval, p_from timestamptz, p_whole_from timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bucket timestamptz := date_bin(p_width, p_from, 'epoch');
BEGIN
    IF p_from > v_bucket AND (p_from - v_bucket > p_width / 2 OR v_bucket < p_whole_from) THEN
        RETURN v_bucket + p_width;
    END IF;
    RETURN v_bucket;
END
$$;
COMMENT ON FUNCTION engine.nearest_start(interval, timestamptz, timestamptz) IS
    'Start of a bucket (hour or day) that is nearest to the start of a period; the one before it only from whole_from on';

CREATE OR REPLACE FUNCTION engine.nearest_end(
    p_width interval, p_to timestamptz, p_whole_from timestamptz, p_until timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bucket timestamptz := date_bin(p_width, p_to, 'epoch');
BEGIN
    IF p_to - v_bucket > p_width / 2 AND v_bucket >= p_whole_from AND v_bucket + p_width <= p_until THEN
        RETURN v_bucket + p_width;
    END IF;
    RETURN v_bucket;
END
$$;
COMMENT ON FUNCTION engine.nearest_end(interval, timestamptz, timestamptz, timestamptz) IS
    'End of a bucket (hour or day) that is nearest to the end of a period; the one after it only from whole_from on and where rolled up, before until';

CREATE OR REPLACE FUNCTION engine.kept_whole_from(p_stream text)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(
        CASE p_stream WHEN 'meter' THEN h.meter_history_from ELSE h.vehicle_history_from END,
        now() - engine.keep_interval(p_stream || '_telemetry_hourly')
    )
    FROM engine.horizon AS h
$$;
COMMENT ON FUNCTION engine.kept_whole_from(text) IS
    'Time from which nothing of a stream was dropped, so that parts can be subtracted from wholes';

CREATE OR REPLACE FUNCTION engine.day_totals_from(p_from timestamptz, p_to timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_timezone text := (SELECT s.fleet_timezone FROM engine.settings AS s);
    v_day date := ((p_to - interval '1 microsecond') AT TIME ZONE v_timezone)::date;
    v_day_from timestamptz := v_day::timestamp AT TIME ZONE v_timezone;
BEGIN
    -- What came after the period has to be subtracted: cheap only when the period ends about now.
    IF p_from <= v_day_from AND p_to > now() - interval '5 minutes' AND v_day_from > (SELECT h.day_totals_after FROM engine.horizon AS h)
        AND NOT EXISTS (SELECT FROM engine.meter_state AS m WHERE m.day > v_day)
        AND NOT EXISTS (SELECT FROM engine.vehicle_state AS v WHERE v.day > v_day)
    THEN
        RETURN v_day_from;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.day_totals_from(timestamptz, timestamptz) IS
    'Start of the last local day in [from, to) if the daily totals of hot status can answer for it, else null';

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

    -- What is stale: days are taken by the hour instead, and every stale hour of the period is exchanged for raw history.
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
            GROUP BY h.meter_id;
        RETURN QUERY
            SELECT h.meter_id, -sum(h.total_kwh_consumed_ac), -sum(h.readings_count)::bigint
            FROM engine.stale_hour AS s
            JOIN public.meter_telemetry_hourly AS h ON h.meter_id = s.device_id AND h.bucket = s.bucket
            WHERE s.stream = 'meter' AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
                AND h.bucket >= v_split.hours_from AND h.bucket < v_split.hours_to
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
            GROUP BY h.meter_id;
    ELSIF p_to < p_from THEN
        RETURN QUERY SELECT h.meter_id, -h.kwh, -h.readings FROM engine.rolled_up_fleet_meter_energy(p_to, p_from) AS h;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.rolled_up_fleet_meter_energy(timestamptz, timestamptz) IS
    'AC energy (kWh) and readings of every meter in the whole hours of [from, to), as the rollup holds them; negative from a later time to an earlier';

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
    v_next_from timestamptz := (v_day + 1)::timestamp AT TIME ZONE v_timezone;
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

    -- What is stale: days are taken by the hour instead, and every stale hour of the period is exchanged for raw history.
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
            GROUP BY h.vehicle_id;
        RETURN QUERY
            SELECT h.vehicle_id, -sum(h.total_kwh_delivered_dc), -sum(h.readings_count)::bigint
            FROM engine.stale_hour AS s
            JOIN public.vehicle_telemetry_hourly AS h ON h.vehicle_id = s.device_id AND h.bucket = s.bucket
            WHERE s.stream = 'vehicle' AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
                AND h.bucket >= v_split.hours_from AND h.bucket < v_split.hours_to
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
            GROUP BY h.vehicle_id;
    ELSIF p_to < p_from THEN
        RETURN QUERY SELECT h.vehicle_id, -h.kwh, -h.readings FROM engine.rolled_up_fleet_vehicle_energy(p_to, p_from) AS h;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.rolled_up_fleet_vehicle_energy(timestamptz, timestamptz) IS
    'DC energy (kWh) and readings of every vehicle in the whole hours of [from, to), as the rollup holds them; negative from a later time to an earlier';

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
    v_next_from timestamptz := (v_day + 1)::timestamp AT TIME ZONE v_timezone;
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

-- Meters that change hands inside the period, each mapping with hours and edges of its own. (A meter that serves one
-- vehicle throughout needs no more than its sum.)
CREATE OR REPLACE FUNCTION engine.fleet_shared_meter_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
        WITH mapping AS MATERIALIZED (
            SELECT m.meter_id, m.vehicle_id, p.valid_from, p.valid_to, s.hours_from, s.hours_to
            FROM public.device_mapping AS m
            CROSS JOIN LATERAL (SELECT greatest(m.valid_from, p_from) AS valid_from, least(m.valid_to, p_to) AS valid_to) AS p
            CROSS JOIN LATERAL engine.split_period(p.valid_from, p.valid_to) AS s
            WHERE m.valid_from < p_to AND m.valid_to > p_from AND (m.valid_from > p_from OR m.valid_to < p_to)
        ), raw_part AS MATERIALIZED (
            SELECT m.meter_id, m.vehicle_id, m.valid_from AS part_from, m.hours_from AS part_to FROM mapping AS m
            UNION ALL
            SELECT m.meter_id, m.vehicle_id, m.hours_to, m.valid_to FROM mapping AS m
            UNION ALL
            SELECT m.meter_id, m.vehicle_id, s.bucket, s.bucket + interval '1 hour'
            FROM mapping AS m
            JOIN engine.stale_hour AS s
                ON s.stream = 'meter' AND s.device_id = m.meter_id AND s.bucket >= m.hours_from AND s.bucket < m.hours_to
        )
        SELECT m.vehicle_id, sum(h.total_kwh_consumed_ac)
        FROM mapping AS m
        JOIN public.meter_telemetry_hourly AS h
            ON h.meter_id = m.meter_id AND h.bucket >= m.hours_from AND h.bucket < m.hours_to
        WHERE h.bucket >= p_from AND h.bucket < p_to
            AND NOT EXISTS (
                SELECT FROM engine.stale_hour AS s
                WHERE s.stream = 'meter' AND s.device_id = h.meter_id AND s.bucket = h.bucket
            )
        GROUP BY m.vehicle_id
        UNION ALL
        SELECT p.vehicle_id, sum(r.kwh_consumed_ac)
        FROM raw_part AS p
        JOIN public.meter_telemetry_history AS r
            ON r.meter_id = p.meter_id AND r.ts >= p.part_from AND r.ts < p.part_to
        WHERE r.ts >= p_from AND r.ts < p_to
        GROUP BY p.vehicle_id;
END
$$;
COMMENT ON FUNCTION engine.fleet_shared_meter_energy(timestamptz, timestamptz) IS
    'AC energy (kWh) that meters mapped for part of [from, to) consumed for each vehicle; several rows a vehicle add up';

CREATE OR REPLACE FUNCTION engine.fleet_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh_ac numeric, kwh_dc numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH meter AS MATERIALIZED (
            SELECT e.meter_id, sum(e.kwh) AS kwh FROM engine.fleet_meter_energy(p_from, p_to) AS e
            GROUP BY e.meter_id
            HAVING sum(e.readings) > 0
        ), ac AS MATERIALIZED (
            SELECT a.vehicle_id, sum(a.kwh) AS kwh
            FROM (
                SELECT m.vehicle_id, meter.kwh
                FROM meter
                JOIN public.device_mapping AS m ON m.meter_id = meter.meter_id
                WHERE m.valid_from <= p_from AND m.valid_to >= p_to
                UNION ALL
                SELECT s.vehicle_id, s.kwh FROM engine.fleet_shared_meter_energy(p_from, p_to) AS s
            ) AS a
            GROUP BY a.vehicle_id
        ), dc AS (
            SELECT e.vehicle_id, sum(e.kwh) AS kwh FROM engine.fleet_vehicle_energy(p_from, p_to) AS e
            GROUP BY e.vehicle_id
            HAVING sum(e.readings) > 0
        )
        SELECT coalesce(dc.vehicle_id, ac.vehicle_id), ac.kwh, dc.kwh
        FROM dc
        FULL JOIN ac ON ac.vehicle_id = dc.vehicle_id
        UNION ALL
        SELECT NULL, (SELECT sum(meter.kwh) FROM meter) - coalesce((SELECT sum(ac.kwh) FROM ac), 0), NULL;
END
$$;
COMMENT ON FUNCTION engine.fleet_energy(timestamptz, timestamptz) IS
    'AC and DC energy (kWh) of every vehicle over [from, to), null where nothing was received; the row without a vehicle holds what meters consumed while mapped to none';

CREATE OR REPLACE FUNCTION public.vehicle_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    vehicle_id text,
    total_kwh_consumed_ac numeric,
    total_kwh_delivered_dc numeric,
    efficiency_ratio numeric,
    efficiency_status text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM engine.check_period(p_from, p_to);
    RETURN QUERY
        SELECT e.vehicle_id, e.kwh_ac, e.kwh_dc, r.ratio, engine.efficiency_status(r.ratio, s)
        FROM engine.fleet_energy(p_from, p_to) AS e
        CROSS JOIN LATERAL (SELECT engine.efficiency_ratio(e.kwh_ac, e.kwh_dc) AS ratio) AS r
        CROSS JOIN engine.settings AS s
        WHERE e.vehicle_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION public.vehicle_energy(timestamptz, timestamptz) IS
    'Energy (kWh) and efficiency of every vehicle over [from, to), in no order: AC is what its meters consumed while mapped to it, null where nothing was received';

CREATE OR REPLACE FUNCTION public.fleet_efficiency(p_hours integer DEFAULT 24, p_period_end timestamptz DEFAULT now())
RETURNS TABLE (
    total_vehicles bigint,
    avg_efficiency_ratio numeric,
    vehicles_with_warnings bigint,
    vehicles_critical bigint,
    total_kwh_consumed_ac numeric,
    total_kwh_delivered_dc numeric,
    total_energy_loss numeric,
    period_start timestamptz,
    period_end timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_start timestamptz := engine.period_start(p_hours, p_period_end);
BEGIN
    RETURN QUERY
        WITH vehicle AS (
            SELECT e.kwh_ac AS ac, e.kwh_dc AS dc, engine.efficiency_ratio(e.kwh_ac, e.kwh_dc) AS ratio
            FROM engine.fleet_energy(v_start, p_period_end) AS e
        )
        SELECT
            count(v.dc),
            engine.efficiency_ratio(sum(v.ac) FILTER (WHERE v.ac > 0 AND v.dc IS NOT NULL), sum(v.dc) FILTER (WHERE v.ac > 0)),
            count(*) FILTER (WHERE v.ratio >= s.efficiency_critical AND v.ratio < s.efficiency_warning),
            count(*) FILTER (WHERE v.ratio < s.efficiency_critical),
            coalesce(sum(v.ac), 0),
            coalesce(sum(v.dc), 0),
            coalesce(sum(v.ac - v.dc) FILTER (WHERE v.ac > 0), 0),
            v_start,
            p_period_end
        FROM engine.settings AS s
        LEFT JOIN vehicle AS v ON true
        GROUP BY s.id;
END
$$;
COMMENT ON FUNCTION public.fleet_efficiency(integer, timestamptz) IS
    'Energy (kWh) and efficiency of the fleet over the hours before period_end (start included, end excluded); ratio and loss over vehicles with readings and AC energy, the totals over all that was received';
