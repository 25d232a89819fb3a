-- The fleet by the hour: the rules of energy.sql for all devices together.

CREATE OR REPLACE FUNCTION engine.fleet_meter_hours(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (bucket timestamptz, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_split record;
BEGIN
    SELECT * INTO v_split FROM engine.split_period(p_from, p_to);
    RETURN QUERY
        SELECT h.bucket, sum(h.total_kwh_consumed_ac)
        FROM public.meter_telemetry_hourly AS h
        WHERE h.bucket >= v_split.hours_from AND h.bucket < v_split.hours_to
            AND NOT EXISTS (
                SELECT FROM engine.stale_hour AS s
                WHERE s.stream = 'meter' AND s.device_id = h.meter_id AND s.bucket = h.bucket
            )
        GROUP BY h.bucket;
    RETURN QUERY
        SELECT s.bucket, sum(r.kwh_consumed_ac)
        FROM engine.stale_hour AS s
        JOIN public.meter_telemetry_history AS r
            ON r.meter_id = s.device_id AND r.ts >= s.bucket AND r.ts < s.bucket + interval '1 hour'
        WHERE s.stream = 'meter' AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
            AND r.ts >= v_split.hours_from AND r.ts < v_split.hours_to
        GROUP BY s.bucket;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_meter_hours(p_from, v_split.hours_from) AS r;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_meter_hours(v_split.hours_to, p_to) AS r;
END
$$;
COMMENT ON FUNCTION engine.fleet_meter_hours(timestamptz, timestamptz) IS
    'AC energy (kWh) of all meters over [from, to), by hour; a cut hour counts only what lies inside; several rows an hour add up';

CREATE OR REPLACE FUNCTION engine.raw_fleet_meter_hours(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (bucket timestamptz, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT date_bin('1 hour', r.ts, 'epoch'), sum(r.kwh_consumed_ac)
            FROM public.meter_telemetry_history AS r
            WHERE r.ts >= p_from AND r.ts < p_to
            GROUP BY 1;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.raw_fleet_meter_hours(timestamptz, timestamptz) IS
    'The same as engine.fleet_meter_hours, from raw history alone';

CREATE OR REPLACE FUNCTION engine.fleet_vehicle_hours(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (bucket timestamptz, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_split record;
BEGIN
    SELECT * INTO v_split FROM engine.split_period(p_from, p_to);
    RETURN QUERY
        SELECT h.bucket, sum(h.total_kwh_delivered_dc)
        FROM public.vehicle_telemetry_hourly AS h
        WHERE h.bucket >= v_split.hours_from AND h.bucket < v_split.hours_to
            AND NOT EXISTS (
                SELECT FROM engine.stale_hour AS s
                WHERE s.stream = 'vehicle' AND s.device_id = h.vehicle_id AND s.bucket = h.bucket
            )
        GROUP BY h.bucket;
    RETURN QUERY
        SELECT s.bucket, sum(r.kwh_delivered_dc)
        FROM engine.stale_hour AS s
        JOIN public.vehicle_telemetry_history AS r
            ON r.vehicle_id = s.device_id AND r.ts >= s.bucket AND r.ts < s.bucket + interval '1 hour'
        WHERE s.stream = 'vehicle' AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
            AND r.ts >= v_split.hours_from AND r.ts < v_split.hours_to
        GROUP BY s.bucket;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_vehicle_hours(p_from, v_split.hours_from) AS r;
    RETURN QUERY SELECT r.* FROM engine.raw_fleet_vehicle_hours(v_split.hours_to, p_to) AS r;
END
$$;
COMMENT ON FUNCTION engine.fleet_vehicle_hours(timestamptz, timestamptz) IS
    'DC energy (kWh) of all vehicles over [from, to), by hour; a cut hour counts only what lies inside; several rows an hour add up';

CREATE OR REPLACE FUNCTION engine.raw_fleet_vehicle_hours(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (bucket timestamptz, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT date_bin('1 hour', r.ts, 'epoch'), sum(r.kwh_delivered_dc)
            FROM public.vehicle_telemetry_history AS r
            WHERE r.ts >= p_from AND r.ts < p_to
            GROUP BY 1;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.raw_fleet_vehicle_hours(timestamptz, timestamptz) IS
    'The same as engine.fleet_vehicle_hours, from raw history alone';

CREATE OR REPLACE FUNCTION public.fleet_trend(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (hour timestamptz, kwh_consumed_ac numeric, kwh_delivered_dc numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM engine.check_period(p_from, p_to);
    RETURN QUERY
        SELECT e.bucket, sum(e.ac), sum(e.dc)
        FROM (
            SELECT m.bucket, m.kwh AS ac, NULL::numeric AS dc FROM engine.fleet_meter_hours(p_from, p_to) AS m
            UNION ALL
            SELECT v.bucket, NULL, v.kwh FROM engine.fleet_vehicle_hours(p_from, p_to) AS v
        ) AS e
        GROUP BY e.bucket
        ORDER BY e.bucket;
END
$$;
COMMENT ON FUNCTION public.fleet_trend(timestamptz, timestamptz) IS
    'Energy (kWh) that was received of the whole fleet over [from, to) by the hour (UTC), oldest first; hours without any reading are left out, and a cut first or last hour counts only what lies inside the period';

-- The present hours of 10,000 devices are a million raw readings; whoever asks every minute, as dashboards do, leaves
-- them out.
CREATE OR REPLACE FUNCTION public.whole_hours(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (hours_from timestamptz, hours_to timestamptz, hours integer)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM engine.check_period(p_from, p_to);
    hours_from := date_bin('1 hour', p_from, 'epoch');
    hours_to := least(date_bin('1 hour', p_to, 'epoch'), engine.rollups_until());
    IF hours_from >= hours_to THEN
        hours_to := date_bin('1 hour', p_to + interval '1 hour' - interval '1 microsecond', 'epoch');
    END IF;
    hours := extract(epoch FROM hours_to - hours_from) / 3600;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION public.whole_hours(timestamptz, timestamptz) IS
    'The period, and its length in hours, that is answered fastest in place of [from, to): whole hours from the one that from is in to the last one rolled up; while none is, to the one that to is in';
