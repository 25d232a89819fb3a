-- The sums of a stream over any period, for every answer: of one device, in all or by buckets of time, and the energy of all.

CREATE OR REPLACE VIEW engine.{stream}_reading AS
SELECT
    r.ts AS bucket, r.{device}, 1::bigint AS readings_count,
    r.{measure}::numeric AS sum_{measure}, r.{measure}::numeric AS min_{measure}, r.{measure}::numeric AS max_{measure}, r.{measure}::numeric AS avg_{measure}, (r.{measure} IS NOT NULL)::integer::bigint AS count_{measure},
    r.{energy}::numeric AS total_{energy}
FROM public.{stream}_telemetry_history AS r;
COMMENT ON VIEW engine.{stream}_reading IS 'public.{stream}_telemetry_history in the shape of its rollups: a reading is a bucket';

CREATE OR REPLACE FUNCTION engine.{stream}_sums(p_from timestamptz, p_to timestamptz, p_device_id text, p_width interval)
RETURNS SETOF engine.{stream}_sums
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM engine.split_period('{stream}', p_device_id, p_from, p_to, p_width IS NULL) LOOP
        CASE p.source
            WHEN 'reading' THEN RETURN QUERY SELECT * FROM engine.{stream}_reading_sums(p.part_from, p.part_to, p_device_id, p_width);
            WHEN '15min' THEN RETURN QUERY SELECT * FROM engine.{stream}_15min_sums(p.part_from, p.part_to, p_device_id, p_width);
            WHEN 'hourly' THEN RETURN QUERY SELECT * FROM engine.{stream}_hourly_sums(p.part_from, p.part_to, p_device_id, p_width);
            WHEN 'daily' THEN RETURN QUERY SELECT * FROM engine.{stream}_daily_sums(p.part_from, p.part_to, p_device_id, p_width);
        END CASE;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.{stream}_sums(timestamptz, timestamptz, text, interval) IS 'Sums of {stream} readings over [from, to): of one device; without a width in all, with one for each bucket of that width. The rows add up, and equal the same sums over raw history at any moment; no row where there is no reading';

-- Without settings of its own, so that the planner inlines it: in one statement with the other stream, each takes a process.
-- Bounds are constants then, and parts that are empty or not needed are planned away. NOT IN, whose columns are never null,
-- hashes the stale hours; an anti-join would hash every row.
CREATE OR REPLACE FUNCTION engine.{stream}_energy_parts(p_from timestamptz, p_to timestamptz, c engine.period_cuts)
RETURNS TABLE (device_id text, ts timestamptz, kwh numeric) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.{device}, r.ts, r.{energy} FROM public.{stream}_telemetry_history AS r WHERE r.ts >= p_from AND r.ts < c.quarters_from
    UNION ALL SELECT q.{device}, q.bucket, q.total_{energy} FROM engine.{stream}_15min AS q
    WHERE q.bucket >= c.quarters_from AND q.bucket < c.hours_from AND (NOT c.has_stale_hours OR (q.{device}, date_bin('1 hour', q.bucket, 'epoch')) NOT IN (SELECT s.device_id, s.bucket FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s))
    UNION ALL SELECT h.{device}, h.bucket, h.total_{energy} FROM engine.{stream}_hourly AS h
    WHERE h.bucket >= c.hours_from AND h.bucket < c.six_hours_from AND (NOT c.has_stale_hours OR (h.{device}, h.bucket) NOT IN (SELECT s.device_id, s.bucket FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s))
    UNION ALL SELECT x.{device}, x.bucket, x.total_{energy} FROM engine.{stream}_6hourly AS x WHERE x.bucket >= c.six_hours_from AND x.bucket < c.days_from
    UNION ALL SELECT d.{device}, d.bucket, d.total_{energy} FROM engine.{stream}_daily AS d WHERE d.bucket >= c.days_from AND d.bucket < c.stale_from
    UNION ALL SELECT h.{device}, h.bucket, h.total_{energy} FROM engine.{stream}_hourly AS h
    WHERE h.bucket >= c.stale_from AND h.bucket < c.stale_to AND (NOT c.has_stale_hours OR (h.{device}, h.bucket) NOT IN (SELECT s.device_id, s.bucket FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s))
    UNION ALL SELECT d.{device}, d.bucket, d.total_{energy} FROM engine.{stream}_daily AS d WHERE d.bucket >= c.stale_to AND d.bucket < c.days_to
    UNION ALL SELECT x.{device}, x.bucket, x.total_{energy} FROM engine.{stream}_6hourly AS x WHERE x.bucket >= c.days_to AND x.bucket < c.six_hours_to
    UNION ALL SELECT h.{device}, h.bucket, h.total_{energy} FROM engine.{stream}_hourly AS h
    WHERE h.bucket >= c.six_hours_to AND h.bucket < c.hours_to AND (NOT c.has_stale_hours OR (h.{device}, h.bucket) NOT IN (SELECT s.device_id, s.bucket FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s))
    UNION ALL SELECT q.{device}, q.bucket, q.total_{energy} FROM engine.{stream}_15min AS q
    WHERE q.bucket >= c.hours_to AND q.bucket < c.quarters_to AND (NOT c.has_stale_hours OR (q.{device}, date_bin('1 hour', q.bucket, 'epoch')) NOT IN (SELECT s.device_id, s.bucket FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s))
    UNION ALL SELECT r.{device}, r.ts, r.{energy} FROM public.{stream}_telemetry_history AS r WHERE r.ts >= c.quarters_to AND r.ts < p_to
    UNION ALL SELECT r.{device}, r.ts, r.{energy}
    FROM engine.stale_hours('{stream}', c.quarters_from, c.quarters_to) AS s
    JOIN public.{stream}_telemetry_history AS r ON r.{device} = s.device_id AND r.ts >= s.bucket AND r.ts < s.bucket + interval '1 hour'
    WHERE c.has_stale_hours AND r.ts >= c.quarters_from AND r.ts < c.quarters_to
$$;
COMMENT ON FUNCTION engine.{stream}_energy_parts(timestamptz, timestamptz, engine.period_cuts) IS '{energy_in_words} of every {stream} over [from, to), cut as engine.cut_period says: in kWh, at the time of the reading or the start of the bucket; the rows of a {stream} add up, and equal the same sum over raw history at any moment';
