-- Devices whose clock is wrong: their readings come late or early by a steady amount.

-- Cheap, since hardly a device is looked at: one whose clock is right and that sends every minute has its newest reading
-- within the last two minutes. What is sent late for another reason comes late by an amount that varies.
CREATE OR REPLACE FUNCTION engine.{stream}_clocks() RETURNS TABLE (device text, seconds_behind double precision, readings bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '{stream}:' || s.{device}, round(extract(epoch FROM (l.shortest + l.longest) / 2))::double precision, l.readings
    FROM engine.{stream}_state AS s
    CROSS JOIN LATERAL (
        SELECT count(*) AS readings, min(r.behind) AS shortest, max(r.behind) AS longest, max(r.ingested_at) AS latest
        FROM (
            SELECT h.ingested_at, h.ingested_at - h.ts AS behind FROM public.{stream}_telemetry_history AS h
            WHERE h.{device} = s.{device} ORDER BY h.ts DESC LIMIT 10
        ) AS r
    ) AS l
    WHERE s.last_reading_at NOT BETWEEN now() - interval '2 minutes' AND now() + interval '15 seconds'
        AND l.readings >= 5 AND l.latest > now() - interval '1 hour' AND l.longest - l.shortest <= interval '1 minute'
        AND (l.shortest > interval '2 minutes' OR l.longest < interval '-15 seconds')
$$;
COMMENT ON FUNCTION engine.{stream}_clocks() IS 'The {stream}s whose newest readings (5 to 10, the latest stored within an hour) all came late by 2 minutes or more, or early by 15 seconds or more, and by the same amount to the minute: seconds behind, negative when ahead';
