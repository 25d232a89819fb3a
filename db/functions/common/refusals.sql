-- Refused readings: services count them in memory and add them up here every few seconds.

CREATE OR REPLACE FUNCTION engine.note_refusals(p_refusals jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- One service at a time, so that those which note the same devices never wait for each other in a ring.
    PERFORM pg_advisory_xact_lock('engine.refusal'::regclass::oid::integer, 0);
    INSERT INTO engine.refusal AS r (device, reason, field, readings, first_at, last_at)
    SELECT n.device, n.reason, n.field, n.readings, n.first_at, n.last_at
    FROM jsonb_to_recordset(p_refusals) AS n (device text, reason text, field text, readings bigint, first_at timestamptz, last_at timestamptz)
    ON CONFLICT (device, reason) DO UPDATE SET
        field = excluded.field, readings = r.readings + excluded.readings,
        first_at = least(r.first_at, excluded.first_at), last_at = greatest(r.last_at, excluded.last_at);
    DELETE FROM engine.refusal AS r
    WHERE r.last_at < (SELECT o.last_at FROM engine.refusal AS o ORDER BY o.last_at DESC OFFSET 999 LIMIT 1);
END
$$;
COMMENT ON FUNCTION engine.note_refusals(jsonb) IS 'Adds refused readings to engine.refusal: an array of {device, reason, field, readings, first_at, last_at}, a device and reason once; the 1,000 that were refused last stay';

CREATE OR REPLACE FUNCTION engine.refusals(p_limit bigint) RETURNS SETOF engine.refusal
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM engine.refusal AS r ORDER BY r.last_at DESC, r.device, r.reason LIMIT p_limit
$$;
COMMENT ON FUNCTION engine.refusals(bigint) IS 'So many devices and reasons of refused readings, those refused last first';

CREATE OR REPLACE FUNCTION engine.wrong_clocks(p_limit bigint) RETURNS TABLE (device text, seconds_behind double precision, readings bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.* FROM (SELECT m.* FROM engine.meter_clocks() AS m UNION ALL SELECT v.* FROM engine.vehicle_clocks() AS v) AS c
    ORDER BY abs(c.seconds_behind) DESC, c.device LIMIT p_limit
$$;
COMMENT ON FUNCTION engine.wrong_clocks(bigint) IS 'So many devices whose readings come late or early by a steady amount (seconds behind), the worst first';
