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
        previous_reading_at = CASE  -- vehicles only
            WHEN r.ts > s.last_reading_at THEN greatest(s.last_reading_at, r.previous_ts)  -- vehicles only
            ELSE greatest(s.previous_reading_at, r.ts)  -- vehicles only
        END,  -- vehicles only
        previous_soc = CASE  -- vehicles only
            WHEN r.previous_ts > s.last_reading_at THEN r.previous_soc  -- vehicles only
            WHEN r.ts > s.last_reading_at THEN s.soc  -- vehicles only
            WHEN s.previous_reading_at > r.ts THEN s.previous_soc  -- vehicles only
            ELSE r.soc  -- vehicles only
        END,  -- vehicles only
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

CREATE OR REPLACE FUNCTION engine.rebuild_{stream}_status(
    p_today date, p_today_from timestamptz, p_tomorrow_from timestamptz, p_tomorrow_to timestamptz
) RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_devices text[] := ARRAY(
        SELECT h.{device} FROM public.{stream}_telemetry_history AS h WHERE h.ts >= p_today_from
        UNION
        SELECT s.{device} FROM engine.{stream}_state AS s WHERE s.last_reading_at >= p_today_from
    );
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
COMMENT ON FUNCTION engine.rebuild_{stream}_status(date, timestamptz, timestamptz, timestamptz) IS 'Takes the latest reading of every {stream} that has one today, or seems to, from history, and counts the daily totals of all anew, for today and the day after it';
