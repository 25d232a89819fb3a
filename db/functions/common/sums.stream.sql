-- The sums of a stream over any period, once, for every answer: of one device or of all, in all or by buckets of time.

CREATE OR REPLACE FUNCTION engine.{stream}_sums(
    p_from timestamptz, p_to timestamptz, p_device_id text, p_width interval, p_energy_only boolean
) RETURNS SETOF engine.{stream}_sums
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 10000000 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM engine.split_period('{stream}', p_from, p_to, p_device_id IS NULL, p_width IS NULL) LOOP
        CASE p.source
            WHEN 'reading' THEN RETURN QUERY SELECT * FROM engine.{stream}_reading_sums(p.part_from, p.part_to, p_device_id, p_width, p_energy_only);
            WHEN '15min' THEN RETURN QUERY SELECT * FROM engine.{stream}_15min_sums(p.part_from, p.part_to, p_device_id, p_width, p_energy_only);
            WHEN 'hour' THEN RETURN QUERY SELECT * FROM engine.{stream}_hourly_sums(p.part_from, p.part_to, p_device_id, p_width, p_energy_only);
            WHEN 'day' THEN RETURN QUERY SELECT * FROM engine.{stream}_daily_sums(p.part_from, p.part_to, p_device_id, p_width, p_energy_only);
            WHEN 'stale hour' THEN RETURN QUERY SELECT * FROM engine.{stream}_stale_hour_sums(p.part_from, p.part_to, p_device_id, p_width, p_energy_only);
        END CASE;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.{stream}_sums(timestamptz, timestamptz, text, interval, boolean) IS 'Sums of {stream} readings over [from, to): of one device, or of all when device_id is null; without a width for each device, with one for each bucket of that width; energy_only leaves count and measures null. The rows of a device or bucket add up, and equal the same sums over raw history at any moment; no row where there is no reading';

CREATE OR REPLACE FUNCTION engine.{stream}_reading_sums(
    p_from timestamptz, p_to timestamptz, p_device_id text, p_width interval, p_energy_only boolean
) RETURNS SETOF engine.{stream}_sums LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
        SELECT
            CASE WHEN p_width IS NULL THEN r.{device} END,
            date_bin(p_width, r.ts, 'epoch'),
            CASE WHEN NOT p_energy_only THEN count(*) END,
            CASE WHEN NOT p_energy_only THEN sum(r.{measure}) END,
            CASE WHEN NOT p_energy_only THEN min(r.{measure})::numeric END,
            CASE WHEN NOT p_energy_only THEN max(r.{measure})::numeric END,
            sum(r.{energy})
        FROM public.{stream}_telemetry_history AS r
        WHERE r.ts >= p_from AND r.ts < p_to AND (p_device_id IS NULL OR r.{device} = p_device_id)
        GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION engine.{stream}_reading_sums(timestamptz, timestamptz, text, interval, boolean) IS 'Sums of {stream} readings over [from, to) from history; parameters: see engine.{stream}_sums';

CREATE OR REPLACE FUNCTION engine.{stream}_stale_hour_sums(
    p_from timestamptz, p_to timestamptz, p_device_id text, p_width interval, p_energy_only boolean
) RETURNS SETOF engine.{stream}_sums LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
        SELECT
            CASE WHEN p_width IS NULL THEN r.{device} END,
            date_bin(p_width, r.ts, 'epoch'),
            CASE WHEN NOT p_energy_only THEN count(*) END,
            CASE WHEN NOT p_energy_only THEN sum(r.{measure}) END,
            CASE WHEN NOT p_energy_only THEN min(r.{measure})::numeric END,
            CASE WHEN NOT p_energy_only THEN max(r.{measure})::numeric END,
            sum(r.{energy})
        FROM (
            SELECT DISTINCT s.device_id, s.bucket FROM engine.stale_hour AS s
            WHERE s.stream = '{stream}' AND s.bucket > p_from - interval '1 hour' AND s.bucket < p_to
                AND (p_device_id IS NULL OR s.device_id = p_device_id)
        ) AS s
        JOIN public.{stream}_telemetry_history AS r
            ON r.{device} = s.device_id AND r.ts >= s.bucket AND r.ts < s.bucket + interval '1 hour'
        WHERE r.ts >= p_from AND r.ts < p_to
        GROUP BY 1, 2;
END
$$;
COMMENT ON FUNCTION engine.{stream}_stale_hour_sums(timestamptz, timestamptz, text, interval, boolean) IS 'Sums of {stream} readings over [from, to) in stale hours alone, from history; parameters: see engine.{stream}_sums';
