-- How a period of the fleet is split. A period of a day that ends now is a million raw readings at its two cut hours
-- alone, so the fleet's energy takes what is summed up already wherever that is cheaper: the daily totals of hot status
-- for the day under way, the daily rollup for whole days, and for a cut hour or day either its part inside the period or
-- all of it less the part outside. As with integrals, the energy from a later time to an earlier one is that between
-- them, negative.

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
    v_day_from timestamptz := engine.day_start(v_day, v_timezone);
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
