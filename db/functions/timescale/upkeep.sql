-- Upkeep on TimescaleDB: what a refresh owes, the refresh itself, retention, and the jobs that run them.

CREATE OR REPLACE FUNCTION engine.edition() RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'timescale';
COMMENT ON FUNCTION engine.edition() IS 'Edition of the database layer: timescale or postgres';

-- Order matters. First promise (late_before, claims on what is stale) and commit; then wait for the writers who did not see
-- the promise; then refresh; only then let answers use it and forget the claims.
CREATE OR REPLACE PROCEDURE engine.refresh_rollups(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    v_deadline timestamptz := clock_timestamp() + coalesce(config ->> 'budget', '20 seconds')::interval;
    v_until timestamptz := date_bin('15 minutes', now() - engine.rollup_delay(), 'epoch');
    v_stream text;
BEGIN
    -- A session lock: one refresh at a time, over all the transactions below.
    PERFORM pg_advisory_lock('engine.horizon'::regclass::oid::integer, 1);
    PERFORM engine.correct_horizon(v_until), engine.correct_daily_totals();
    COMMIT;
    UPDATE engine.horizon SET late_before = greatest(v_until, late_before);
    UPDATE engine.stale_hour SET claimed = true WHERE NOT claimed;
    COMMIT;
    PERFORM engine.await_writers();
    COMMIT;
    FOREACH v_stream IN ARRAY ARRAY['meter', 'vehicle'] LOOP
        CALL engine.refresh_stream(v_stream);
    END LOOP;
    FOREACH v_stream IN ARRAY ARRAY['meter', 'vehicle'] LOOP
        CALL engine.refresh_stale_hours(v_stream, v_deadline);
    END LOOP;
    PERFORM pg_advisory_unlock('engine.horizon'::regclass::oid::integer, 1);
END
$$;
COMMENT ON PROCEDURE engine.refresh_rollups(integer, jsonb) IS 'Job: rolls up the quarters of an hour that ended more than 5 minutes ago and, newest first, the stale hours; config {"budget": interval} limits a run';

-- A clock that was ahead left a horizon that lies after now, and rollups up to there. Who writes meanwhile marks what it
-- touches and keeps it out of TimescaleDB's log, so that nothing but forced_before would tell a later refresh of it. To put
-- rolled_up_before back is safe at any moment: history holds what is later. The rollups' future part is taken out, so that
-- whoever reads them sees readings there again.
CREATE OR REPLACE FUNCTION engine.correct_horizon(p_due timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_ahead record; v_rollup record;
BEGIN
    FOR v_ahead IN
        SELECT h.stream, greatest(h.late_before, h.rolled_up_before) AS until
        FROM engine.horizon AS h
        WHERE greatest(h.late_before, h.rolled_up_before) > now()
        ORDER BY h.stream
    LOOP
        UPDATE engine.horizon SET
            late_before = p_due, rolled_up_before = least(rolled_up_before, p_due), forced_before = greatest(forced_before, v_ahead.until)
        WHERE stream = v_ahead.stream;
        FOR v_rollup IN SELECT r.* FROM engine.rollups_of(v_ahead.stream) AS r LOOP
            EXECUTE format('DELETE FROM %s WHERE bucket >= $1', v_rollup.hypertable) USING date_bin(v_rollup.width, p_due, 'epoch');
            -- Dropping chunks, if only none, has TimescaleDB look how far the view is materialized now.
            PERFORM public.drop_chunks(v_rollup.view, older_than => timestamptz '1900-01-01');
        END LOOP;
        RAISE WARNING 'the rollups of % reached to %, which is to come: the server''s clock was ahead; they end at % again', v_ahead.stream, v_ahead.until, p_due;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.correct_horizon(timestamptz) IS 'Puts a horizon that lies after now back to what is due, and takes what is later out of the rollups';

-- In steps, so that a long history is rolled up in transactions of a bearable size, each of which counts at once, and so
-- that the rows of a bucket lie together.
CREATE OR REPLACE PROCEDURE engine.refresh_stream(p_stream text)
LANGUAGE plpgsql AS $$
DECLARE
    v_horizon engine.horizon;
    v_from timestamptz;
    v_until timestamptz;
BEGIN
    SELECT * INTO STRICT v_horizon FROM engine.horizon AS h WHERE h.stream = p_stream;
    v_from := v_horizon.rolled_up_before;
    LOOP
        v_until := least(v_horizon.late_before,
            date_bin('6 hours', greatest(v_from, coalesce(engine.history_start(p_stream), v_horizon.late_before)), 'epoch') + interval '6 hours');
        -- To the end of the day, since hours and days are made of quarters that were made by force.
        CALL engine.refresh_period(p_stream, v_from, v_until, v_from < date_bin('1 day', v_horizon.forced_before, 'epoch') + interval '1 day');
        -- Somebody may have deleted history meanwhile: then the next run starts from where that left the horizon.
        UPDATE engine.horizon SET
            rolled_up_before = v_until,
            quarters_from = least(quarters_from, date_bin('1 hour', v_horizon.rolled_up_before, 'epoch'))
        WHERE stream = p_stream AND deletions = v_horizon.deletions;
        EXIT WHEN NOT FOUND OR v_until = v_horizon.late_before;
        COMMIT;
        v_from := v_until;
    END LOOP;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE engine.refresh_stream(text) IS 'Rolls up what a stream owes up to late_before, and lets answers use it';

CREATE OR REPLACE PROCEDURE engine.refresh_stale_hours(p_stream text, p_deadline timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz := (SELECT h.late_before FROM engine.horizon AS h WHERE h.stream = p_stream);
    v_bucket timestamptz;
    v_coarser record;
    v_done timestamptz[] := '{}';
BEGIN
    FOREACH v_bucket IN ARRAY ARRAY(
        SELECT DISTINCT h.bucket FROM engine.stale_hour AS h WHERE h.stream = p_stream AND h.claimed ORDER BY h.bucket DESC
    ) LOOP
        EXIT WHEN clock_timestamp() > p_deadline;
        CALL engine.refresh_period(p_stream, v_bucket, least(v_bucket + interval '1 hour', v_until), true);
        v_done := v_done || v_bucket;
    END LOOP;
    -- A day under way is left to the real-time part: once refreshed, its later hours would wait for its end.
    FOR v_coarser IN
        SELECT DISTINCT w.width, date_bin(w.width, d.bucket, 'epoch') AS bucket
        FROM unnest(v_done) AS d (bucket) CROSS JOIN (VALUES (interval '6 hours'), ('1 day')) AS w (width)
        WHERE date_bin(w.width, d.bucket, 'epoch') + w.width <= v_until
        ORDER BY w.width
    LOOP
        CALL engine.refresh_period(p_stream, v_coarser.bucket, v_coarser.bucket + v_coarser.width, false);
    END LOOP;
    DELETE FROM engine.stale_hour AS h WHERE h.stream = p_stream AND h.claimed AND h.bucket = ANY (v_done);
    COMMIT;
END
$$;
COMMENT ON PROCEDURE engine.refresh_stale_hours(text, timestamptz) IS 'Rolls up a stream''s claimed stale hours again, newest first, until a deadline, and the days that they are part of';

CREATE OR REPLACE FUNCTION engine.rollups_of(p_stream text) RETURNS TABLE (view regclass, hypertable regclass, width interval)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%I.%I', a.view_schema, a.view_name)::regclass,
        format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name)::regclass, r.width
    FROM (
        VALUES
            ('public', p_stream || '_telemetry_15min', interval '15 minutes'), ('public', p_stream || '_telemetry_hourly', '1 hour'),
            ('engine', p_stream || '_6hourly', '6 hours'), ('public', p_stream || '_telemetry_daily', '1 day')
    ) AS r (view_schema, view_name, width)
    JOIN timescaledb_information.continuous_aggregates AS a USING (view_schema, view_name)
$$;
COMMENT ON FUNCTION engine.rollups_of(text) IS 'The continuous aggregates of a stream, the hypertables that hold what is materialized of them, and the widths of their buckets; each is made from the next finer one';

CREATE OR REPLACE PROCEDURE engine.refresh_period(p_stream text, p_from timestamptz, p_until timestamptz, p_force boolean)
LANGUAGE plpgsql AS $$
DECLARE
    v_rollup record;
BEGIN
    FOR v_rollup IN
        SELECT r.view, date_bin(r.width, p_from, 'epoch') AS since, date_bin(r.width, p_until, 'epoch') AS until
        FROM engine.rollups_of(p_stream) AS r
        ORDER BY r.width
    LOOP
        CONTINUE WHEN v_rollup.since >= v_rollup.until;
        -- All at once: TimescaleDB 2.28 leaves out a bucket that begins where one of its batches ends, and tells nobody.
        CALL public.refresh_continuous_aggregate(
            v_rollup.view, nullif(v_rollup.since, '-infinity'), v_rollup.until, force => p_force, options => '{"buckets_per_batch": 0}'
        );
    END LOOP;
END
$$;
COMMENT ON PROCEDURE engine.refresh_period(text, timestamptz, timestamptz, boolean) IS 'Refreshes a stream''s rollups over [from, until): quarters, then the hours, six hours and days that they touch and that have ended by then; by force even where TimescaleDB''s log says that nothing changed';

-- What the service calls when the job is late, whatever keeps that. Nobody queues: who comes while a refresh runs leaves.
CREATE OR REPLACE PROCEDURE engine.refresh_overdue_rollups()
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.pg_try_advisory_lock('engine.horizon'::regclass::oid::integer, 1) THEN
        CALL engine.refresh_rollups();
        PERFORM pg_catalog.pg_advisory_unlock('engine.horizon'::regclass::oid::integer, 1);
    END IF;
END
$$;
COMMENT ON PROCEDURE engine.refresh_overdue_rollups() IS 'Rolls up what is due, unless a refresh is under way; for those who own the rollups';

-- TimescaleDB lets none but the owner of a rollup refresh it, and not on behalf of another. Who is not the owner may have the
-- job run at once.
CREATE OR REPLACE FUNCTION engine.hasten_refresh() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT public.alter_job(j.job_id, next_start => now())
    FROM timescaledb_information.jobs AS j
    LEFT JOIN timescaledb_information.job_stats AS s USING (job_id)
    WHERE j.proc_schema = 'engine' AND j.proc_name = 'refresh_rollups' AND j.scheduled AND s.job_status IS DISTINCT FROM 'Running'
$$;
COMMENT ON FUNCTION engine.hasten_refresh() IS 'Has the job that refreshes the rollups run at once, unless it runs or is paused; for those who do not own the rollups';

-- A rollup must outlive its source. So: nothing is dropped that a refresh still owes, writers are told to refuse what is
-- older before anything goes, and the drop leaves no trace in the log that a later refresh would follow.
CREATE OR REPLACE PROCEDURE engine.apply_retention(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    v_stream text; v_cut timestamptz;
BEGIN
    PERFORM engine.end_long_questions('1 hour');
    PERFORM pg_advisory_lock('engine.retention'::regclass::oid::integer, 0);
    FOREACH v_stream IN ARRAY ARRAY['meter', 'vehicle'] LOOP
        SELECT max(c.range_end) INTO v_cut
        FROM timescaledb_information.chunks AS c
        WHERE c.hypertable_schema = 'public' AND c.hypertable_name = v_stream || '_telemetry_history'
            AND c.range_end <= now() - engine.keep_interval(v_stream || '_telemetry_history');
        UPDATE engine.horizon SET accepted_from = greatest(accepted_from, v_cut)
        WHERE stream = v_stream AND engine.rolled_up_through(v_stream, v_cut);
        COMMIT;
        PERFORM engine.await_writers();
        COMMIT;
        IF engine.rolled_up_through(v_stream, v_cut) THEN
            PERFORM engine.skip_invalidation_log();
            PERFORM public.drop_chunks(format('public.%s_telemetry_history', v_stream)::regclass, older_than => v_cut);
            UPDATE engine.horizon SET history_from = greatest(history_from, v_cut) WHERE stream = v_stream;
        ELSIF v_cut IS NOT NULL THEN
            RAISE WARNING '% history before % is kept: the rollups do not hold all of it yet', v_stream, v_cut;
        END IF;
        COMMIT;
        PERFORM engine.drop_old_rollups(v_stream), engine.forget_doubtful_readings(v_stream);
        COMMIT;
    END LOOP;
    PERFORM pg_advisory_unlock('engine.retention'::regclass::oid::integer, 0);
END
$$;
COMMENT ON PROCEDURE engine.apply_retention(integer, jsonb) IS 'Job: drops what engine.retention no longer keeps, in whole chunks, once the rollups hold it';

CREATE OR REPLACE FUNCTION engine.drop_old_rollups(p_stream text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM engine.skip_invalidation_log();
    PERFORM public.drop_chunks(format('public.%I', r.relation)::regclass, older_than => now() - r.keep)
    FROM engine.retention AS r
    WHERE r.relation LIKE p_stream || '\_%' AND r.relation NOT LIKE '%\_history' AND engine.rolled_up_through(p_stream, now() - r.keep);
    PERFORM public.drop_chunks(format('engine.%s_6hourly', p_stream)::regclass, older_than => now() - r.keep)
    FROM engine.retention AS r
    WHERE r.relation = p_stream || '_telemetry_15min' AND r.keep IS NOT NULL AND engine.rolled_up_through(p_stream, now() - r.keep);
END
$$;
COMMENT ON FUNCTION engine.drop_old_rollups(text) IS 'Drops the chunks of a stream''s rollups that engine.retention no longer keeps';

CREATE OR REPLACE FUNCTION engine.rolled_up_through(p_stream text, p_until timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.rolled_up_before >= p_until
        AND NOT EXISTS (SELECT FROM engine.stale_hour AS s WHERE s.stream = p_stream AND s.bucket < p_until)
    FROM engine.horizon AS h
    WHERE h.stream = p_stream
$$;
COMMENT ON FUNCTION engine.rolled_up_through(text, timestamptz) IS 'Whether the rollups of a stream hold every reading before a time';

CREATE OR REPLACE FUNCTION engine.note_upkeep_failure(p_error text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT $$;
COMMENT ON FUNCTION engine.note_upkeep_failure(text) IS 'Notes why engine.run_upkeep failed, where the database keeps no such record itself';

CREATE OR REPLACE PROCEDURE engine.run_upkeep()
LANGUAGE plpgsql AS $$ BEGIN END $$;
COMMENT ON PROCEDURE engine.run_upkeep() IS 'What the service calls every hour; nothing in this edition, whose jobs run by themselves';

SELECT public.add_job('engine.refresh_rollups', INTERVAL '30 seconds', config => '{"budget": "20 seconds"}')
WHERE NOT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_schema = 'engine' AND proc_name = 'refresh_rollups');
SELECT public.add_job('engine.apply_retention', INTERVAL '1 hour')
WHERE NOT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_schema = 'engine' AND proc_name = 'apply_retention');
-- A job with a fixed schedule keeps its pace after a run that failed, or is said to have; others wait longer each time.
SELECT public.alter_job(j.job_id, fixed_schedule => true, initial_start => date_bin('1 hour', now(), 'epoch') + INTERVAL '1 hour')
FROM timescaledb_information.jobs AS j
WHERE NOT j.fixed_schedule AND (j.proc_schema = 'engine' OR j.hypertable_schema = 'public');
-- While functions are replaced or rolled back, the job may have failed for want of them.
SELECT public.alter_job(j.job_id, next_start => now())
FROM timescaledb_information.jobs AS j
JOIN timescaledb_information.job_stats AS s USING (job_id)
WHERE j.proc_schema = 'engine' AND j.scheduled AND s.last_run_status = 'Failed';
