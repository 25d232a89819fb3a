-- Hot status of a stream, moved forward by the readings just stored.

-- Of a vehicle two readings are kept: whether it discharges is told by the one before the latest, which may arrive after it.
CREATE OR REPLACE FUNCTION engine.update_{stream}_state() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_days record := engine.fleet_days(now());
    v_repeated boolean := EXISTS (SELECT FROM pg_temp.staged AS s WHERE s.is_vehicle = {is_vehicle} GROUP BY s.device_id HAVING count(*) > 1);
BEGIN
    MERGE INTO engine.{stream}_state AS s
    USING engine.staged_devices({is_vehicle}, v_repeated, v_days.today_from, v_days.tomorrow_from, v_days.tomorrow_to) AS r
        ON s.{device} = r.device_id
    WHEN MATCHED THEN UPDATE SET
        last_reading_at = greatest(s.last_reading_at, r.ts),
        {energy} = CASE WHEN r.ts > s.last_reading_at THEN r.kwh ELSE s.{energy} END,
        {measure} = CASE WHEN r.ts > s.last_reading_at THEN r.{measure} ELSE s.{measure} END,
        previous_reading_at = greatest(CASE WHEN r.ts > s.last_reading_at THEN s.last_reading_at ELSE s.previous_reading_at END,  -- vehicles only
            CASE WHEN r.ts > s.last_reading_at THEN r.previous_ts ELSE r.ts END),  -- vehicles only
        previous_soc = CASE WHEN r.previous_ts > s.last_reading_at THEN r.previous_soc WHEN r.ts > s.last_reading_at THEN s.soc  -- vehicles only
            WHEN s.previous_reading_at > r.ts THEN s.previous_soc ELSE r.soc END,  -- vehicles only
        day = greatest(s.day, v_days.today),
        day_kwh = engine.day_total(greatest(s.day, v_days.today), s.day, s.day_kwh, s.next_day_kwh)
            + engine.day_total(greatest(s.day, v_days.today), v_days.today, r.day_kwh, r.next_day_kwh),
        next_day_kwh = engine.day_total(greatest(s.day, v_days.today) + 1, s.day, s.day_kwh, s.next_day_kwh)
            + engine.day_total(greatest(s.day, v_days.today) + 1, v_days.today, r.day_kwh, r.next_day_kwh)
    WHEN NOT MATCHED THEN INSERT (
        {device}, last_reading_at, {energy},
        {measure},
        previous_reading_at, previous_soc,  -- vehicles only
        day, day_kwh, next_day_kwh
    ) VALUES (
        r.device_id, r.ts, r.kwh,
        r.{measure},
        r.previous_ts, r.previous_soc,  -- vehicles only
        v_days.today, r.day_kwh, r.next_day_kwh
    );
END
$$;
COMMENT ON FUNCTION engine.update_{stream}_state() IS 'Moves {stream} status forward and adds to its daily totals from the readings in the staging table, each of which must be new';

-- Whoever calls it holds engine.lock_status() or has stopped the writers: what is being stored is added afterwards.
CREATE OR REPLACE FUNCTION engine.recount_{stream}_status(p_device_ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_days record := engine.fleet_days(clock_timestamp());
    v_devices text[] := coalesce(p_device_ids, engine.{stream}s_to_recount(v_days.today_from));
BEGIN
    DELETE FROM engine.{stream}_state AS s WHERE s.{device} = ANY (v_devices);
    INSERT INTO engine.{stream}_state (
        {device}, last_reading_at, {energy},
        {measure},
        previous_reading_at, previous_soc,  -- vehicles only
        day, day_kwh, next_day_kwh
    )
    SELECT
        d.device_id, r.ts, r.{energy},
        r.{measure},
        p.ts, p.soc,  -- vehicles only
        r.ts::date, 0, 0
    FROM unnest(v_devices) AS d (device_id)
    CROSS JOIN LATERAL (
        SELECT * FROM public.{stream}_telemetry_history AS h WHERE h.{device} = d.device_id ORDER BY h.ts DESC LIMIT 1
    ) AS r
    LEFT JOIN LATERAL (  -- vehicles only
        SELECT h.ts, h.soc FROM public.{stream}_telemetry_history AS h WHERE h.{device} = d.device_id AND h.ts < r.ts ORDER BY h.ts DESC LIMIT 1  -- vehicles only
    ) AS p ON true  -- vehicles only
    ;
    UPDATE engine.{stream}_state AS s
    SET day = v_days.today, day_kwh = coalesce(t.day_kwh, 0), next_day_kwh = coalesce(t.next_day_kwh, 0)
    FROM engine.{stream}_state AS o
    LEFT JOIN (
        SELECT h.{device},
            sum(h.{energy}) FILTER (WHERE h.ts < v_days.tomorrow_from) AS day_kwh,
            sum(h.{energy}) FILTER (WHERE h.ts >= v_days.tomorrow_from) AS next_day_kwh
        FROM public.{stream}_telemetry_history AS h
        WHERE h.ts >= v_days.today_from AND h.ts < v_days.tomorrow_to AND (p_device_ids IS NULL OR h.{device} = ANY (p_device_ids))
        GROUP BY h.{device}
    ) AS t ON t.{device} = o.{device}
    WHERE o.{device} = s.{device} AND (p_device_ids IS NULL OR s.{device} = ANY (p_device_ids));
    PERFORM engine.forget_implausible_{stream}s(p_device_ids);
END
$$;
COMMENT ON FUNCTION engine.recount_{stream}_status(text[]) IS 'Takes the latest reading of some {stream}s from history and counts their daily totals anew, for today and the day after it; null: of all, the latest reading of those alone whose status may differ from history; forgets what was marked of readings that are gone';

CREATE OR REPLACE FUNCTION engine.{stream}s_to_recount(p_today_from timestamptz) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_history_from timestamptz := (engine.horizon_of('{stream}')).history_from;
BEGIN
    RETURN ARRAY(
        SELECT h.{device} FROM public.{stream}_telemetry_history AS h WHERE h.ts >= p_today_from
        UNION
        SELECT s.{device} FROM engine.{stream}_state AS s
        WHERE s.last_reading_at >= p_today_from
            OR s.last_reading_at >= v_history_from AND NOT EXISTS (
                SELECT FROM public.{stream}_telemetry_history AS h WHERE h.{device} = s.{device} AND h.ts = s.last_reading_at
            )
            OR s.previous_reading_at >= v_history_from AND NOT EXISTS (  -- vehicles only
                SELECT FROM public.{stream}_telemetry_history AS h WHERE h.{device} = s.{device} AND h.ts = s.previous_reading_at  -- vehicles only
            )  -- vehicles only
    );
END
$$;
COMMENT ON FUNCTION engine.{stream}s_to_recount(timestamptz) IS 'Ids of the {stream}s that have a reading since then, or seem to, and of those whose latest reading is no longer in history though history reaches back that far';
