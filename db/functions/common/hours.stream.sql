-- A stream by the hour, for what is judged hour by hour.

-- Without settings of its own, so that the planner inlines it and plans away the parts that are empty.
CREATE OR REPLACE FUNCTION engine.{stream}_hours(p_from timestamptz, p_to timestamptz, c engine.period_cuts, p_device_ids text[])
RETURNS TABLE (
    device_id text, hour timestamptz, readings bigint, kwh numeric
    , min_soc numeric, max_soc numeric  -- vehicles only
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT p.device_id, date_bin('1 hour', p.bucket, 'epoch'), sum(p.readings_count)::bigint, sum(p.total_{energy})
        , min(p.min_soc), max(p.max_soc)  -- vehicles only
    FROM (
        SELECT r.{device} AS device_id, r.* FROM engine.{stream}_reading AS r
        WHERE r.bucket >= p_from AND r.bucket < c.quarters_from AND (p_device_ids IS NULL OR r.{device} = ANY (p_device_ids))
        UNION ALL SELECT q.{device}, q.bucket, q.{device}, q.readings_count,
            q.sum_{measure}, q.min_{measure}, q.max_{measure}, q.avg_{measure}, q.count_{measure},
            q.total_{energy} FROM engine.{stream}_15min AS q
        WHERE (q.bucket >= c.quarters_from AND q.bucket < c.hours_from OR q.bucket >= c.hours_to AND q.bucket < c.quarters_to)
            AND (p_device_ids IS NULL OR q.{device} = ANY (p_device_ids))
            AND (NOT c.has_stale_hours OR (q.{device}, date_bin('1 hour', q.bucket, 'epoch')) NOT IN (SELECT s.device_id, s.bucket FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s))
        UNION ALL SELECT h.{device}, h.bucket, h.{device}, h.readings_count,
            h.sum_{measure}, h.min_{measure}, h.max_{measure}, h.avg_{measure}, h.count_{measure},
            h.total_{energy} FROM engine.{stream}_hourly AS h
        WHERE h.bucket >= c.hours_from AND h.bucket < c.hours_to AND (p_device_ids IS NULL OR h.{device} = ANY (p_device_ids))
            AND (NOT c.has_stale_hours OR (h.{device}, h.bucket) NOT IN (SELECT s.device_id, s.bucket FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s))
        UNION ALL SELECT r.{device}, r.* FROM engine.{stream}_reading AS r
        WHERE r.bucket >= c.quarters_to AND r.bucket < p_to AND (p_device_ids IS NULL OR r.{device} = ANY (p_device_ids))
        UNION ALL SELECT r.{device}, r.* FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s
        JOIN engine.{stream}_reading AS r ON r.{device} = s.device_id AND r.bucket >= s.bucket AND r.bucket < s.bucket + interval '1 hour'
        WHERE c.has_stale_hours AND r.bucket >= c.quarters_from AND r.bucket < c.quarters_to AND (p_device_ids IS NULL OR s.device_id = ANY (p_device_ids))
    ) AS p
    GROUP BY 1, 2
$$;
COMMENT ON FUNCTION engine.{stream}_hours(timestamptz, timestamptz, engine.period_cuts, text[]) IS 'Readings and {energy_in_words} (kWh) of each {stream}, or of those named, by the hour over [from, to), cut by engine.cut_period without days; they equal the same sums over raw history at any moment';
