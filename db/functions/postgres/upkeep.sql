-- Upkeep on plain PostgreSQL: the triggers of rollups.rollup.sql leave retention as all that there is to do.

CREATE OR REPLACE FUNCTION engine.edition() RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'postgres';
COMMENT ON FUNCTION engine.edition() IS 'Edition of the database layer: timescale or postgres';

CREATE OR REPLACE FUNCTION engine.skip_invalidation_log() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT $$;
COMMENT ON FUNCTION engine.skip_invalidation_log() IS 'Nothing to do in this edition: it has no invalidation log';

CREATE OR REPLACE PROCEDURE engine.refresh_rollups(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$ BEGIN END $$;
COMMENT ON PROCEDURE engine.refresh_rollups(integer, jsonb) IS 'Nothing to do in this edition: the triggers leave the rollups exact';

CREATE OR REPLACE PROCEDURE engine.refresh_overdue_rollups()
LANGUAGE plpgsql AS $$ BEGIN END $$;
COMMENT ON PROCEDURE engine.refresh_overdue_rollups() IS 'Nothing to do in this edition: the triggers leave the rollups exact';

CREATE OR REPLACE FUNCTION engine.hasten_refresh() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT $$;
COMMENT ON FUNCTION engine.hasten_refresh() IS 'Nothing to do in this edition: it has no such job';

-- History goes by whole days, so that what is left of an hour or a day can always be counted anew. Readings older than
-- history_from are refused from before anything goes, and their deletion leaves the rollups alone. The two steps act as the
-- owner, so that the service can have them done and delete nothing else.
CREATE OR REPLACE FUNCTION engine.advance_history() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE engine.horizon SET
        accepted_from = greatest(accepted_from, date_bin('1 day', now() - engine.keep_interval(stream || '_telemetry_history'), 'epoch')),
        history_from = greatest(history_from, date_bin('1 day', now() - engine.keep_interval(stream || '_telemetry_history'), 'epoch'))
$$;
COMMENT ON FUNCTION engine.advance_history() IS 'Moves the start of the history to what engine.retention keeps: older readings are refused from then on';

CREATE OR REPLACE PROCEDURE engine.apply_retention(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM engine.end_long_questions('1 hour');
    PERFORM pg_advisory_lock('engine.retention'::regclass::oid::integer, 0);
    PERFORM engine.advance_history();
    COMMIT;
    PERFORM engine.await_writers();
    COMMIT;
    PERFORM engine.delete_expired_meter_rows(), engine.delete_expired_vehicle_rows();
    PERFORM engine.forget_doubtful_readings('meter'), engine.forget_doubtful_readings('vehicle');
    COMMIT;
    PERFORM pg_advisory_unlock('engine.retention'::regclass::oid::integer, 0);
END
$$;
COMMENT ON PROCEDURE engine.apply_retention(integer, jsonb) IS 'Job: deletes what engine.retention no longer keeps; run by engine.run_upkeep';

CREATE OR REPLACE FUNCTION engine.note_upkeep_failure(p_error text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ UPDATE engine.upkeep AS u SET error = p_error WHERE u.job = 'apply_retention' $$;
COMMENT ON FUNCTION engine.note_upkeep_failure(text) IS 'Notes why engine.run_upkeep failed, where the database keeps no such record itself';

-- The record is committed before the work: a run whose connection ends half-way is known by the end that is missing.
CREATE OR REPLACE PROCEDURE engine.run_upkeep()
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_catalog.pg_try_advisory_lock('engine.retention'::regclass::oid::integer, 0) THEN
        RETURN;
    END IF;
    INSERT INTO engine.upkeep AS u (job, started_at) VALUES ('apply_retention', pg_catalog.clock_timestamp())
    ON CONFLICT (job) DO UPDATE SET started_at = excluded.started_at, runs = u.runs + 1;
    COMMIT;
    PERFORM engine.correct_daily_totals();
    COMMIT;
    CALL engine.apply_retention();
    UPDATE engine.upkeep SET finished_at = pg_catalog.clock_timestamp(), successes = successes + 1
    WHERE job = 'apply_retention';
    COMMIT;
    PERFORM pg_catalog.pg_advisory_unlock('engine.retention'::regclass::oid::integer, 0);
END
$$;
COMMENT ON PROCEDURE engine.run_upkeep() IS 'What the service calls every hour: retention, by one process at a time';
