-- Implausible readings: stored like any other, and marked, so that answers can name them.

-- A reading is judged once, when it comes, by the reading before it. No interval counts as shorter than ten seconds, the
-- fastest pace of chargers: then a reading with no more energy than the limit yields in that is plausible whatever came
-- before it, and no batch of common readings is looked at. Ten-thousandths of a kWh times 0.36 are kW over a second.
CREATE OR REPLACE FUNCTION engine.mark_implausible_{stream}s(p_max_kw numeric) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_from timestamptz; v_to timestamptz;
BEGIN
    INSERT INTO engine.implausible_reading AS i (stream, device_id, ts, kwh, kw)
    SELECT '{stream}', j.device_id, j.ts, j.energy_e4 * 0.0001, round(j.energy_e4 * 0.36 / j.seconds, 4)
    FROM (
        SELECT s.device_id, s.ts, s.energy_e4,
            greatest(10, coalesce(extract(epoch FROM s.ts - greatest(nullif(o.last_reading_at, s.ts), s.previous_ts)), 60)) AS seconds
        FROM (
            SELECT r.device_id, r.ts, r.energy_e4, lag(r.ts) OVER (PARTITION BY r.device_id ORDER BY r.ts) AS previous_ts
            FROM pg_temp.staged AS r WHERE r.is_vehicle = {is_vehicle}
        ) AS s
        LEFT JOIN engine.{stream}_state AS o ON o.{device} = s.device_id
        WHERE s.energy_e4 * 0.36 > p_max_kw * 10 AND (o.last_reading_at IS NULL OR o.last_reading_at <= s.ts)
    ) AS j
    WHERE j.energy_e4 * 0.36 > p_max_kw * j.seconds
    ON CONFLICT (stream, device_id, ts) DO UPDATE SET kwh = excluded.kwh, kw = excluded.kw;
    -- History is asked for late readings alone: of a first reading's minute, or of all unless the energy is what the limit
    -- yields in that. A chunk that retention drops is never among it.
    SELECT
        greatest((engine.horizon_of('{stream}')).accepted_from, min(s.ts - CASE WHEN s.energy_e4 * 0.36 > p_max_kw * 60 THEN interval '1000 years' ELSE '1 minute' END)),
        max(s.ts)
    INTO v_from, v_to
    FROM pg_temp.staged AS s
    JOIN engine.{stream}_state AS o ON o.{device} = s.device_id AND o.last_reading_at > s.ts
    WHERE s.is_vehicle = {is_vehicle} AND s.energy_e4 * 0.36 > p_max_kw * 10
    HAVING count(*) > 0;
    IF v_to IS NOT NULL THEN
        PERFORM engine.mark_implausible_late_{stream}s(p_max_kw, v_from, v_to);
    END IF;
END
$$;
COMMENT ON FUNCTION engine.mark_implausible_{stream}s(numeric) IS 'Marks the staged {stream} readings, which are in history and not in status yet, whose mean power since the reading before (of a first one, over a minute) is above a limit in kW';

CREATE OR REPLACE FUNCTION engine.mark_implausible_late_{stream}s(p_max_kw numeric, p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
    INSERT INTO engine.implausible_reading AS i (stream, device_id, ts, kwh, kw)
    SELECT '{stream}', j.device_id, j.ts, j.energy_e4 * 0.0001, round(j.energy_e4 * 0.36 / j.seconds, 4)
    FROM (
        SELECT s.device_id, s.ts, s.energy_e4, greatest(10, coalesce(extract(epoch FROM s.ts - (
            SELECT max(h.ts) FROM public.{stream}_telemetry_history AS h
            WHERE h.{device} = s.device_id AND h.ts < s.ts AND h.ts >= p_from AND h.ts < p_to
        )), 60)) AS seconds
        FROM pg_temp.staged AS s
        JOIN engine.{stream}_state AS o ON o.{device} = s.device_id AND o.last_reading_at > s.ts
        WHERE s.is_vehicle = {is_vehicle} AND s.energy_e4 * 0.36 > p_max_kw * 10
    ) AS j
    WHERE j.energy_e4 * 0.36 > p_max_kw * j.seconds
    ON CONFLICT (stream, device_id, ts) DO UPDATE SET kwh = excluded.kwh, kw = excluded.kw
$$;
COMMENT ON FUNCTION engine.mark_implausible_late_{stream}s(numeric, timestamptz, timestamptz) IS 'The part of engine.mark_implausible_{stream}s for readings that are older than the {stream}''s latest: the readings before them are looked up in history from a time on';

CREATE OR REPLACE FUNCTION engine.forget_implausible_{stream}s(p_device_ids text[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM engine.implausible_reading AS i
    WHERE i.stream = '{stream}' AND (p_device_ids IS NULL OR i.device_id = ANY (p_device_ids)) AND i.ts >= (engine.horizon_of('{stream}')).history_from
        AND NOT EXISTS (SELECT FROM public.{stream}_telemetry_history AS h WHERE h.{device} = i.device_id AND h.ts = i.ts)
$$;
COMMENT ON FUNCTION engine.forget_implausible_{stream}s(text[]) IS 'Forgets the marks of some {stream}s'' readings (null: of all) that are no longer in history though history reaches back that far';
