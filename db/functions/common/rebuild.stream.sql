-- The parts of a rebuilt hot status that are the same for both streams.

CREATE OR REPLACE FUNCTION engine.{stream}s_since(p_from timestamptz)
RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN ARRAY(
        SELECT h.{device} FROM public.{stream}_telemetry_history AS h WHERE h.ts >= p_from
        UNION
        SELECT s.{device} FROM engine.{stream}_state AS s WHERE s.last_reading_at >= p_from
    );
END
$$;
COMMENT ON FUNCTION engine.{stream}s_since(timestamptz) IS
    'Ids of the {stream}s that have a reading since a time, in history or in hot status';

CREATE OR REPLACE FUNCTION engine.recount_{stream}_days(
    p_today date, p_today_from timestamptz, p_tomorrow_from timestamptz, p_tomorrow_to timestamptz
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    UPDATE engine.{stream}_state AS s
    SET day = p_today, day_kwh = coalesce(t.day_kwh, 0), next_day_kwh = coalesce(t.next_day_kwh, 0)
    FROM engine.{stream}_state AS o
    LEFT JOIN (
        SELECT h.{device},
            sum(h.{energy}) FILTER (WHERE h.ts < p_tomorrow_from) AS day_kwh,
            sum(h.{energy}) FILTER (WHERE h.ts >= p_tomorrow_from) AS next_day_kwh
        FROM public.{stream}_telemetry_history AS h
        WHERE h.ts >= p_today_from AND h.ts < p_tomorrow_to
        GROUP BY h.{device}
    ) AS t ON t.{device} = o.{device}
    WHERE o.{device} = s.{device};
END
$$;
COMMENT ON FUNCTION engine.recount_{stream}_days(date, timestamptz, timestamptz, timestamptz) IS
    'Counts the daily totals of every {stream} anew from history, for a day and the day after it';
