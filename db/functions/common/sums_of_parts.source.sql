-- The sums of a part of a period from one source: a rollup, or readings in a rollup's shape.
-- plpgsql with forced custom plans: the planner sees every bound as a constant and skips the chunks outside it.

CREATE OR REPLACE FUNCTION engine.{stream}_{source}_sums(p_from timestamptz, p_to timestamptz, p_device_id text, p_width interval)
RETURNS SETOF engine.{stream}_sums
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
        SELECT
            b.{device},
            date_bin(p_width, b.bucket, 'epoch'),
            sum(b.readings_count)::bigint,
            sum(b.sum_{measure}),
            min(b.min_{measure}),
            max(b.max_{measure}),
            sum(b.total_{energy})
            , sum(b.count_{measure})::bigint
        FROM engine.{stream}_{source} AS b
        WHERE b.bucket >= p_from AND b.bucket < p_to AND b.{device} = p_device_id
        GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION engine.{stream}_{source}_sums(timestamptz, timestamptz, text, interval) IS 'Sums of {stream} readings over [from, to) from engine.{stream}_{source}, at whose buckets both bounds lie; parameters: see engine.{stream}_sums';

COMMENT ON COLUMN engine.{stream}_{source}.bucket IS 'Start of the bucket, or time of the reading';
COMMENT ON COLUMN engine.{stream}_{source}.{device} IS '{stream_title} id';
COMMENT ON COLUMN engine.{stream}_{source}.readings_count IS 'Number of readings';
COMMENT ON COLUMN engine.{stream}_{source}.total_{energy} IS '{energy_in_words}, in kWh';
COMMENT ON COLUMN engine.{stream}_{source}.min_{measure} IS 'Lowest {measure_in_words}; null where none is known';
COMMENT ON COLUMN engine.{stream}_{source}.max_{measure} IS 'Highest {measure_in_words}; null where none is known';
COMMENT ON COLUMN engine.{stream}_{source}.sum_{measure} IS 'Sum of the known values ({measure_in_words}), for exact means over several rows';
COMMENT ON COLUMN engine.{stream}_{source}.count_{measure} IS 'Number of readings of which it is known ({measure_in_words})';
COMMENT ON COLUMN engine.{stream}_{source}.avg_{measure} IS 'Mean of the known values ({measure_in_words}); null where none is known';
