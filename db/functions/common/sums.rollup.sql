-- The sums of a part of a period from one rollup, and what the rollup's columns mean.
-- plpgsql with forced custom plans: the planner sees every bound as a constant and skips the chunks outside it.

CREATE OR REPLACE FUNCTION engine.{stream}_{rollup}_sums(
    p_from timestamptz, p_to timestamptz, p_device_id text, p_width interval, p_energy_only boolean
) RETURNS SETOF engine.{stream}_sums LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET hash_mem_multiplier = 8 AS $$
BEGIN
    RETURN QUERY
        SELECT
            CASE WHEN p_width IS NULL THEN b.{device} END,
            date_bin(p_width, b.bucket, 'epoch'),
            CASE WHEN NOT p_energy_only THEN sum(b.readings_count)::bigint END,
            CASE WHEN NOT p_energy_only THEN sum(b.sum_{measure}) END,
            CASE WHEN NOT p_energy_only THEN min(b.min_{measure}) END,
            CASE WHEN NOT p_energy_only THEN max(b.max_{measure}) END,
            sum(b.total_{energy})
        FROM public.{stream}_telemetry_{rollup} AS b
        WHERE b.bucket >= p_from AND b.bucket < p_to AND (p_device_id IS NULL OR b.{device} = p_device_id)
            -- NOT IN, whose columns are never null: without stale hours it costs nothing, where an anti-join hashes every row.
            AND (b.{device}, date_bin('1 hour', b.bucket, 'epoch')) NOT IN (
                SELECT s.device_id, s.bucket FROM engine.stale_hour AS s
                WHERE s.stream = '{stream}' AND s.bucket > p_from - interval '1 hour' AND s.bucket < p_to
                    AND (p_device_id IS NULL OR s.device_id = p_device_id)
            )
        GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION engine.{stream}_{rollup}_sums(timestamptz, timestamptz, text, interval, boolean) IS 'Sums of {stream} readings over [from, to), both bounds of {rollup} buckets, from that rollup without its stale buckets; parameters: see engine.{stream}_sums';

COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.bucket IS 'Start of the {width_in_words} (UTC)';
COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.{device} IS '{stream_title} id';
COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.readings_count IS 'Number of readings; {readings} when none is missing';
COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.total_{energy} IS '{energy_in_words}, in kWh';
COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.min_{measure} IS 'Lowest {measure_in_words}';
COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.max_{measure} IS 'Highest {measure_in_words}';
COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.sum_{measure} IS 'Sum of the readings'' values ({measure_in_words}), for exact means over several rows';
COMMENT ON COLUMN public.{stream}_telemetry_{rollup}.avg_{measure} IS 'Mean {measure_in_words}';
