-- The arithmetic of energy over any period, once, for every answer. Whole hours that are rolled up come from the hourly
-- rollup; what is left (a period's cut edges, hours not rolled up yet, stale hours) comes from raw history. So an answer
-- equals the sum over raw history at any moment and still touches little of it.
-- plpgsql with forced custom plans: the planner sees every bound as a constant and skips the chunks outside it.

CREATE OR REPLACE FUNCTION engine.rollups_until()
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN h.trusted THEN h.rolled_up_before ELSE least(h.meter_history_from, h.vehicle_history_from) END
    FROM engine.horizon AS h
$$;
COMMENT ON FUNCTION engine.rollups_until() IS
    'Time before which whole hours may be answered from rollups; of what was dropped they are all there is, trusted or not';

CREATE OR REPLACE FUNCTION engine.split_period(
    p_from timestamptz, p_to timestamptz,
    OUT hours_from timestamptz, OUT days_from timestamptz, OUT days_to timestamptz, OUT hours_to timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    hours_from := date_bin('1 hour', p_from + interval '1 hour' - interval '1 microsecond', 'epoch');
    hours_to := least(date_bin('1 hour', p_to, 'epoch'), engine.rollups_until());
    IF hours_from >= hours_to THEN
        hours_from := p_from;
        days_from := p_from;
        days_to := p_from;
        hours_to := p_from;
        RETURN;
    END IF;
    days_from := date_bin('1 day', hours_from + interval '1 day' - interval '1 microsecond', 'epoch');
    days_to := date_bin('1 day', hours_to, 'epoch');
    IF days_from >= days_to THEN
        days_from := hours_from;
        days_to := hours_from;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.split_period(timestamptz, timestamptz) IS
    'Splits [from, to) into raw [from, hours_from), hours [hours_from, days_from), days [days_from, days_to), hours [days_to, hours_to) and raw [hours_to, to); parts may be empty';

CREATE OR REPLACE FUNCTION engine.meter_hours(p_meter_id text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (bucket timestamptz, readings_count bigint, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_split record;
    v_stale timestamptz[];
    v_bucket timestamptz;
BEGIN
    SELECT * INTO v_split FROM engine.split_period(p_from, p_to);
    v_stale := ARRAY(
        SELECT s.bucket FROM engine.stale_hour AS s
        WHERE s.stream = 'meter' AND s.device_id = p_meter_id
            AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
    );
    RETURN QUERY
        SELECT h.bucket, h.readings_count, h.total_kwh_consumed_ac
        FROM public.meter_telemetry_hourly AS h
        WHERE h.meter_id = p_meter_id AND h.bucket >= v_split.hours_from AND h.bucket < v_split.hours_to
            AND h.bucket <> ALL (v_stale);
    FOREACH v_bucket IN ARRAY v_stale LOOP
        RETURN QUERY SELECT r.* FROM engine.raw_meter_hours(p_meter_id, v_bucket, v_bucket + interval '1 hour') AS r;
    END LOOP;
    RETURN QUERY SELECT r.* FROM engine.raw_meter_hours(p_meter_id, p_from, v_split.hours_from) AS r;
    RETURN QUERY SELECT r.* FROM engine.raw_meter_hours(p_meter_id, v_split.hours_to, p_to) AS r;
END
$$;
COMMENT ON FUNCTION engine.meter_hours(text, timestamptz, timestamptz) IS
    'AC energy (kWh) and readings of a meter over [from, to), by hour; a cut hour counts only what lies inside';

CREATE OR REPLACE FUNCTION engine.raw_meter_hours(p_meter_id text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (bucket timestamptz, readings_count bigint, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT date_bin('1 hour', m.ts, 'epoch'), count(*), sum(m.kwh_consumed_ac)
            FROM public.meter_telemetry_history AS m
            WHERE m.meter_id = p_meter_id AND m.ts >= p_from AND m.ts < p_to
            GROUP BY 1;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.raw_meter_hours(text, timestamptz, timestamptz) IS
    'The same as engine.meter_hours, from raw history alone';

CREATE OR REPLACE FUNCTION engine.vehicle_hours(p_vehicle_id text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    bucket timestamptz, readings_count bigint, kwh numeric,
    sum_battery_temp numeric, min_battery_temp numeric, max_battery_temp numeric
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_split record;
    v_stale timestamptz[];
    v_bucket timestamptz;
BEGIN
    SELECT * INTO v_split FROM engine.split_period(p_from, p_to);
    v_stale := ARRAY(
        SELECT s.bucket FROM engine.stale_hour AS s
        WHERE s.stream = 'vehicle' AND s.device_id = p_vehicle_id
            AND s.bucket >= v_split.hours_from AND s.bucket < v_split.hours_to
    );
    RETURN QUERY
        SELECT h.bucket, h.readings_count, h.total_kwh_delivered_dc,
            h.sum_battery_temp, h.min_battery_temp, h.max_battery_temp
        FROM public.vehicle_telemetry_hourly AS h
        WHERE h.vehicle_id = p_vehicle_id AND h.bucket >= v_split.hours_from AND h.bucket < v_split.hours_to
            AND h.bucket <> ALL (v_stale);
    FOREACH v_bucket IN ARRAY v_stale LOOP
        RETURN QUERY SELECT r.* FROM engine.raw_vehicle_hours(p_vehicle_id, v_bucket, v_bucket + interval '1 hour') AS r;
    END LOOP;
    RETURN QUERY SELECT r.* FROM engine.raw_vehicle_hours(p_vehicle_id, p_from, v_split.hours_from) AS r;
    RETURN QUERY SELECT r.* FROM engine.raw_vehicle_hours(p_vehicle_id, v_split.hours_to, p_to) AS r;
END
$$;
COMMENT ON FUNCTION engine.vehicle_hours(text, timestamptz, timestamptz) IS
    'DC energy (kWh), readings and battery temperatures (°C) of a vehicle over [from, to), by hour; a cut hour counts only what lies inside';

CREATE OR REPLACE FUNCTION engine.raw_vehicle_hours(p_vehicle_id text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    bucket timestamptz, readings_count bigint, kwh numeric,
    sum_battery_temp numeric, min_battery_temp numeric, max_battery_temp numeric
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF p_from < p_to THEN
        RETURN QUERY
            SELECT date_bin('1 hour', v.ts, 'epoch'), count(*), sum(v.kwh_delivered_dc),
                sum(v.battery_temp), min(v.battery_temp)::numeric, max(v.battery_temp)::numeric
            FROM public.vehicle_telemetry_history AS v
            WHERE v.vehicle_id = p_vehicle_id AND v.ts >= p_from AND v.ts < p_to
            GROUP BY 1;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.raw_vehicle_hours(text, timestamptz, timestamptz) IS
    'The same as engine.vehicle_hours, from raw history alone';

CREATE OR REPLACE FUNCTION engine.vehicle_meter_hours(
    p_vehicle_id text, p_from timestamptz, p_to timestamptz, p_meter_id text DEFAULT NULL
)
RETURNS TABLE (meter_id text, mapped_from timestamptz, mapped_to timestamptz, bucket timestamptz, readings_count bigint, kwh numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.meter_id, greatest(m.valid_from, p_from), least(m.valid_to, p_to), h.bucket, h.readings_count, h.kwh
    FROM public.device_mapping AS m
    LEFT JOIN LATERAL engine.meter_hours(m.meter_id, greatest(m.valid_from, p_from), least(m.valid_to, p_to)) AS h ON true
    WHERE m.vehicle_id = p_vehicle_id
        AND m.valid_from < p_to AND m.valid_to > p_from
        AND (p_meter_id IS NULL OR m.meter_id = p_meter_id)
$$;
COMMENT ON FUNCTION engine.vehicle_meter_hours(text, timestamptz, timestamptz, text) IS
    'AC energy (kWh) and readings of a vehicle''s meters while they were mapped to it, by mapping and hour (null where a mapping saw no reading)';

CREATE OR REPLACE FUNCTION engine.day_start(p_day date, p_timezone text)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_midnight timestamp := p_day;
    v_start timestamptz := v_midnight AT TIME ZONE p_timezone;
    v_before timestamptz := v_start - interval '12 hours';
    -- A clock that is set back to midnight shows it twice, and AT TIME ZONE means the second.
    v_first timestamptz := (v_midnight - (v_before AT TIME ZONE p_timezone - v_before AT TIME ZONE 'UTC')) AT TIME ZONE 'UTC';
BEGIN
    RETURN CASE WHEN v_first < v_start AND v_first AT TIME ZONE p_timezone = v_midnight THEN v_first ELSE v_start END;
END
$$;
COMMENT ON FUNCTION engine.day_start(date, text) IS
    'Instant at which a day begins in a time zone: its first midnight, or what follows a midnight that is left out';

CREATE OR REPLACE FUNCTION engine.period_start(p_hours integer, p_period_end timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_hours IS NULL OR p_hours NOT BETWEEN 1 AND 8760 THEN
        RAISE EXCEPTION 'hours must be between 1 and 8760' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_period_end IS NULL OR NOT isfinite(p_period_end) THEN
        RAISE EXCEPTION 'period_end must be a time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN p_period_end - make_interval(hours => p_hours);
END
$$;
COMMENT ON FUNCTION engine.period_start(integer, timestamptz) IS
    'Start of the period of so many hours (1 to 8760) that ends at a time; raises invalid_parameter_value outside that range';

CREATE OR REPLACE FUNCTION engine.efficiency_ratio(p_kwh_ac numeric, p_kwh_dc numeric)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(p_kwh_dc / nullif(p_kwh_ac, 0), 4);
COMMENT ON FUNCTION engine.efficiency_ratio(numeric, numeric) IS
    'DC over AC energy, rounded to 4 decimals; null without AC energy. Its status is that of the rounded value';

CREATE OR REPLACE FUNCTION engine.check_period(p_from timestamptz, p_to timestamptz)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_from IS NULL OR p_to IS NULL OR NOT isfinite(p_from) OR NOT isfinite(p_to) OR p_from >= p_to THEN
        RAISE EXCEPTION 'a period is two times, the first before the second' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION engine.check_period(timestamptz, timestamptz) IS
    'Raises invalid_parameter_value unless [from, to) is a period of finite length';

CREATE OR REPLACE FUNCTION engine.efficiency_status(p_ratio numeric, p_settings engine.settings)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_ratio IS NULL THEN 'unknown'
    WHEN p_ratio >= (p_settings).efficiency_excellent THEN 'excellent'
    WHEN p_ratio >= (p_settings).efficiency_warning THEN 'good'
    WHEN p_ratio >= (p_settings).efficiency_critical THEN 'warning'
    ELSE 'critical'
END;
COMMENT ON FUNCTION engine.efficiency_status(numeric, engine.settings) IS
    'Name of an efficiency ratio under given thresholds: excellent, good, warning, critical, or unknown for null';

CREATE OR REPLACE FUNCTION engine.efficiency_status(p_ratio numeric)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT engine.efficiency_status(p_ratio, s) FROM engine.settings AS s
$$;
COMMENT ON FUNCTION engine.efficiency_status(numeric) IS
    'The same under the configured thresholds';
