-- What is wrong with the database, in plain words: for /health, the log and the doctor.

-- A quarter of an hour is due so long after its end. Where nothing is rolled up yet, history may begin anywhere in its
-- first day.
CREATE OR REPLACE FUNCTION engine.refresh_overdue(p_stream text) RETURNS interval
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(interval '0', now() - interval '15 minutes' - engine.rollup_delay() - CASE h.rolled_up_before
        WHEN 'infinity' THEN now()
        WHEN '-infinity' THEN engine.history_start(p_stream) + interval '1 day'
        ELSE greatest(h.rolled_up_before, engine.history_start(p_stream))
    END)
    FROM engine.horizon AS h
    WHERE h.stream = p_stream
$$;
COMMENT ON FUNCTION engine.refresh_overdue(text) IS 'How long ago a stream''s rollups should have been refreshed; 0 when nothing is due';

CREATE OR REPLACE FUNCTION engine.refresh_wanted(OUT wanted boolean, OUT owner name)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (SELECT bool_or(engine.refresh_overdue(h.stream) > interval '2 minutes') AND engine.refresh_is_scheduled() FROM engine.horizon AS h), (
        SELECT r.rolname FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
        WHERE c.oid = 'public.meter_telemetry_15min'::regclass AND pg_has_role(session_user, r.oid, 'MEMBER')
    )
$$;
COMMENT ON FUNCTION engine.refresh_wanted() IS 'Whether the rollups should have been refreshed two minutes ago by a job that nobody has stopped, and their owner, if whoever logged in may act as that';

CREATE OR REPLACE FUNCTION engine.correct_daily_totals() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_today date := (engine.fleet_days(clock_timestamp())).today;
BEGIN
    IF EXISTS (SELECT FROM engine.meter_state AS s WHERE s.day > v_today) OR EXISTS (SELECT FROM engine.vehicle_state AS s WHERE s.day > v_today) THEN
        PERFORM engine.rebuild_daily_totals();
    END IF;
END
$$;
COMMENT ON FUNCTION engine.correct_daily_totals() IS 'Recounts the daily totals when some are of a day to come: the server''s clock was ahead';

CREATE OR REPLACE FUNCTION engine.problems() RETURNS TABLE (topic text, problem text, remedy text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        'job failed ' || n.name,
        format('Job %s failed at its last run, which began at %s: %s', n.name, engine.as_utc(j.last_run), coalesce(split_part(j.last_error, E'\n', 1), 'no reason is known')),
        'remove the reason; the job runs again by itself (make jobs shows when)'
    FROM engine.jobs() AS j
    CROSS JOIN LATERAL (SELECT concat_ws(' of ', j.job, j.relation) AS name) AS n
    WHERE NOT j.last_succeeded
    UNION ALL
    SELECT
        'job overdue ' || n.name,
        format('Job %s should have run at %s', n.name, engine.as_utc(j.next_run)),
        CASE engine.edition()
            WHEN 'timescale' THEN 'see that TimescaleDB''s scheduler runs (SELECT _timescaledb_functions.start_background_workers()) and that timescaledb.max_background_workers and max_worker_processes leave it room'
            ELSE 'start the service, which runs it every hour'
        END
    FROM engine.jobs() AS j
    CROSS JOIN LATERAL (SELECT concat_ws(' of ', j.job, j.relation) AS name) AS n
    WHERE j.overdue
    UNION ALL
    SELECT
        'rollups lag ' || h.stream,
        format('The %s rollups should have been refreshed %s minutes ago; answers stay exact, but take longer', h.stream, floor(extract(epoch FROM engine.refresh_overdue(h.stream)) / 60)),
        'make jobs shows what keeps refresh_rollups; after a long backfill, wait'
    FROM engine.horizon AS h
    WHERE engine.refresh_overdue(h.stream) > interval '10 minutes'
    UNION ALL
    SELECT
        'clock ' || h.stream,
        format('The %s rollups end at %s, which is to come: the server''s clock was ahead; answers stay exact, but every reading counts as late', h.stream, engine.as_utc(greatest(h.late_before, h.rolled_up_before))),
        'keep the server''s clock right (NTP); the next refresh puts the rollups right'
    FROM engine.horizon AS h
    WHERE engine.edition() = 'timescale' AND greatest(h.late_before, h.rolled_up_before) > now()
$$;
COMMENT ON FUNCTION engine.problems() IS 'What is wrong with the database''s own work: what it concerns (the same as long as it lasts), the problem in a sentence, and what to do';

CREATE OR REPLACE FUNCTION engine.rfc3339(p_time timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN rtrim(rtrim(to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z';
COMMENT ON FUNCTION engine.rfc3339(timestamptz) IS 'A time in UTC to the microsecond, as the HTTP interface writes it';

CREATE OR REPLACE FUNCTION engine.as_utc(p_time timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') $$;
COMMENT ON FUNCTION engine.as_utc(timestamptz) IS 'A time in UTC to the second, as people and RFC 3339 write it';
