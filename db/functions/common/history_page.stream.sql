-- A page of a device's history, newest first: readings with their mean power, or buckets.

CREATE OR REPLACE FUNCTION engine.{stream}_reading_page(p_device_id text, p_from timestamptz, p_to timestamptz, p_limit integer)
RETURNS TABLE (
    ts timestamptz, {energy} numeric, mean_kw numeric, implausible boolean
    , {measure} numeric
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_interval integer := engine.interval_seconds('{stream}', p_device_id);
BEGIN
    RETURN QUERY
        SELECT r.ts, r.{energy}::numeric, round(r.{energy} * 3600 / coalesce(extract(epoch FROM r.ts - r.earlier), v_interval), 4),
            i.ts IS NOT NULL
            , r.{measure}::numeric
        FROM (
            SELECT h.*, lag(h.ts) OVER (ORDER BY h.ts) AS earlier FROM (
                -- One more than asked for: the power of the oldest is told over the time since the reading before it.
                SELECT * FROM public.{stream}_telemetry_history AS n
                WHERE n.{device} = p_device_id AND n.ts < p_to AND n.ts >= p_from - interval '1 hour'
                ORDER BY n.ts DESC LIMIT p_limit + 1
            ) AS h
        ) AS r
        LEFT JOIN engine.implausible_reading AS i ON i.stream = '{stream}' AND i.device_id = p_device_id AND i.ts = r.ts
        WHERE r.ts >= p_from
        ORDER BY r.ts DESC
        LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION engine.{stream}_reading_page(text, timestamptz, timestamptz, integer) IS 'Readings of a {stream} over [from, to), newest first: energy (kWh), mean power (kW) since the reading before, or over its interval when that is an hour away, and whether it is implausible';

CREATE OR REPLACE FUNCTION engine.{stream}_bucket_page(p_device_id text, p_from timestamptz, p_to timestamptz, p_resolution text, p_limit integer)
RETURNS TABLE (
    start timestamptz, readings_count bigint, {energy} numeric
    , min_{measure} numeric, max_{measure} numeric, avg_{measure} numeric
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_timezone text := (SELECT s.fleet_timezone FROM engine.settings AS s);
BEGIN
    RETURN QUERY
        SELECT engine.bucket_start(s.bucket, p_resolution, v_timezone), sum(s.readings_count)::bigint, sum(s.kwh)
            , min(s.min_{measure}), max(s.max_{measure}), round(sum(s.sum_{measure}) / nullif(sum(s.count_{measure}), 0), 4)
        FROM engine.{stream}_sums(p_from, p_to, p_device_id, '15 minutes') AS s
        GROUP BY 1 ORDER BY 1 DESC LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION engine.{stream}_bucket_page(text, timestamptz, timestamptz, text, integer) IS 'A {stream} by 15min, hour or day (of the fleet''s time zone) over [from, to), newest first: readings, energy (kWh), and the lowest, highest and mean of the other measures';
