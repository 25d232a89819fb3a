-- Periods: what each part of a period is summed from, and the bounds of periods and days.

-- A period is readings | 15 minutes | hours | days | hours | 15 minutes | readings, and the parts only ever add up.
-- Rollups leave stale hours out, readings make up for them, and days are taken by the hour from the first to the last that
-- holds a stale one. For one device the 60 readings of a cut hour cost less than planning another statement, so p_of_fleet is
-- false for it; no hour of six hours that are taken whole may be stale.
CREATE OR REPLACE FUNCTION engine.cut_period(p_stream text, p_from timestamptz, p_to timestamptz, p_of_fleet boolean, p_days boolean)
RETURNS engine.period_cuts
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c_tick CONSTANT interval := '1 microsecond';
    v engine.period_cuts;
    v_horizon record;
    v_finest interval; v_six_hours boolean;
BEGIN
    PERFORM engine.check_period(p_from, p_to);
    SELECT h.history_from, h.rolled_up_before, greatest(h.quarters_from, now() - r.keep) AS quarters_from
    INTO STRICT v_horizon
    FROM engine.horizon AS h
    JOIN engine.retention AS r ON r.relation = p_stream || '_telemetry_15min'
    WHERE h.stream = p_stream;
    v_finest := CASE WHEN p_from >= v_horizon.quarters_from AND (p_of_fleet OR p_from < v_horizon.history_from) THEN '15 minutes' ELSE '1 hour' END;
    v.quarters_from := least(date_bin(v_finest, p_from + v_finest - c_tick, 'epoch'), p_to);
    v_finest := CASE WHEN p_to >= v_horizon.quarters_from AND (p_of_fleet OR p_to < v_horizon.history_from) THEN '15 minutes' ELSE '1 hour' END;
    v.quarters_to := greatest(v.quarters_from, date_bin(v_finest, least(p_to, v_horizon.rolled_up_before), 'epoch'));
    v.hours_from := least(date_bin('1 hour', v.quarters_from + interval '1 hour' - c_tick, 'epoch'), v.quarters_to);
    v.hours_to := greatest(v.hours_from, date_bin('1 hour', v.quarters_to, 'epoch'));
    v.six_hours_from := date_bin('6 hours', v.hours_from + interval '6 hours' - c_tick, 'epoch');
    v.six_hours_to := date_bin('6 hours', v.hours_to, 'epoch');
    v.days_from := date_bin('1 day', v.hours_from + interval '1 day' - c_tick, 'epoch');
    v.days_to := date_bin('1 day', v.hours_to, 'epoch');
    SELECT date_bin('1 day', min(s.bucket), 'epoch'), date_bin('1 day', max(s.bucket), 'epoch') + interval '1 day', min(s.bucket) IS NOT NULL,
        count(*) FILTER (WHERE s.bucket >= v.six_hours_from AND s.bucket < v.six_hours_to) = 0
    INTO v.stale_from, v.stale_to, v.has_stale_hours, v_six_hours
    FROM engine.stale_hour AS s
    WHERE s.stream = p_stream AND s.bucket > v.quarters_from - interval '1 hour' AND s.bucket < v.quarters_to;
    v_six_hours := v_six_hours AND p_of_fleet AND p_days AND engine.edition() = 'timescale'
        AND p_from >= v_horizon.quarters_from AND v.six_hours_from < v.six_hours_to;
    IF v.days_from >= v.days_to OR NOT p_days THEN
        v.days_from := CASE WHEN v_six_hours THEN v.six_hours_to ELSE v.hours_to END;
        v.days_to := v.days_from;
    END IF;
    IF NOT v_six_hours THEN
        v.six_hours_from := v.days_from;
        v.six_hours_to := v.days_to;
    END IF;
    v.stale_from := greatest(v.days_from, least(v.days_to, v.stale_from));
    v.stale_to := greatest(v.stale_from, least(v.days_to, v.stale_to));
    RETURN v;
END
$$;
COMMENT ON FUNCTION engine.cut_period(text, timestamptz, timestamptz, boolean, boolean) IS 'Where [from, to) is cut into parts that a stream''s energy is summed from; raises invalid_parameter_value when it is no period. Quarters and six hours are for the fleet: for one device, cut hours are summed from readings where history is kept. Without days, all is summed from hours';

CREATE OR REPLACE FUNCTION engine.split_period(p_stream text, p_device_id text, p_from timestamptz, p_to timestamptz, p_days boolean)
RETURNS TABLE (source text, part_from timestamptz, part_to timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c engine.period_cuts := engine.cut_period(p_stream, p_from, p_to, false, p_days);
    v_stale tstzmultirange := '{}';
BEGIN
    IF c.has_stale_hours THEN
        SELECT coalesce(range_agg(tstzrange(s.bucket, s.bucket + interval '1 hour') * tstzrange(c.quarters_from, c.quarters_to)), '{}')
        INTO v_stale
        FROM engine.stale_hours(p_stream, c.quarters_from, c.quarters_to) AS s
        WHERE s.device_id = p_device_id;
    END IF;
    RETURN QUERY
        SELECT p.source, lower(r.part), upper(r.part)
        FROM (
            VALUES
                ('reading', p_from, c.quarters_from), ('15min', c.quarters_from, c.hours_from), ('hourly', c.hours_from, c.days_from),
                ('daily', c.days_from, c.stale_from), ('hourly', c.stale_from, c.stale_to), ('daily', c.stale_to, c.days_to),
                ('hourly', c.days_to, c.hours_to), ('15min', c.hours_to, c.quarters_to), ('reading', c.quarters_to, p_to)
        ) AS p (source, part_from, part_to)
        CROSS JOIN LATERAL unnest(tstzmultirange(tstzrange(p.part_from, p.part_to)) - v_stale) AS r (part)
        UNION ALL
        SELECT 'reading', lower(r.part), upper(r.part) FROM unnest(v_stale) AS r (part);
END
$$;
COMMENT ON FUNCTION engine.split_period(text, text, timestamptz, timestamptz, boolean) IS 'The parts of [from, to), which do not overlap, for one device, and what each is summed from: reading, 15min, hourly or daily; its stale hours are parts of readings. Without days, hours take their place';

CREATE OR REPLACE FUNCTION engine.stale_hours(p_stream text, p_from timestamptz, p_to timestamptz) RETURNS TABLE (device_id text, bucket timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT DISTINCT s.device_id, s.bucket FROM engine.stale_hour AS s
    WHERE s.stream = p_stream AND s.bucket > p_from - interval '1 hour' AND s.bucket < p_to
$$;
COMMENT ON FUNCTION engine.stale_hours(text, timestamptz, timestamptz) IS 'Devices and hours of a stream that touch [from, to) and whose rollups are stale';

CREATE OR REPLACE FUNCTION engine.horizon_of(p_stream text) RETURNS engine.horizon
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$ SELECT h FROM engine.horizon AS h WHERE h.stream = p_stream $$;
COMMENT ON FUNCTION engine.horizon_of(text) IS 'The limits of a stream between dropped, rolled-up and raw history';

CREATE OR REPLACE FUNCTION engine.period_start(p_hours integer, p_period_end timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION engine.period_start(integer, timestamptz) IS 'Start of the period of so many hours (1 to 8760) that ends at a time; raises invalid_parameter_value outside that range';

CREATE OR REPLACE FUNCTION engine.check_period(p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_from IS NULL OR p_to IS NULL OR NOT isfinite(p_from) OR NOT isfinite(p_to) OR p_from >= p_to THEN
        RAISE EXCEPTION 'a period is two times, the first before the second' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION engine.check_period(timestamptz, timestamptz) IS 'Raises invalid_parameter_value unless [from, to) is a period of finite length';

CREATE OR REPLACE FUNCTION engine.day_start(p_day date, p_timezone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION engine.day_start(date, text) IS 'Instant at which a day begins in a time zone: its first midnight, or what follows a midnight that is left out';

CREATE OR REPLACE FUNCTION engine.fleet_days(
    p_now timestamptz, OUT today date, OUT today_from timestamptz, OUT tomorrow_from timestamptz, OUT tomorrow_to timestamptz
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_timezone text := (SELECT s.fleet_timezone FROM engine.settings AS s);
BEGIN
    today := (p_now AT TIME ZONE v_timezone)::date;
    today_from := engine.day_start(today, v_timezone);
    tomorrow_from := engine.day_start(today + 1, v_timezone);
    tomorrow_to := engine.day_start(today + 2, v_timezone);
END
$$;
COMMENT ON FUNCTION engine.fleet_days(timestamptz) IS 'The day of a time in the fleet''s time zone, and the instants at which it, the day after it and the next one begin';
