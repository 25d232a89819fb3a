-- Upkeep on TimescaleDB: which hours a refresh owes, the refresh itself, retention, and the jobs that run them.

CREATE OR REPLACE FUNCTION engine.edition()
RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'timescale';
COMMENT ON FUNCTION engine.edition() IS 'Edition of the database layer: timescale or postgres';

-- The engine notes late hours itself (engine.stale_hour), device by device. TimescaleDB's own log would note for each
-- transaction and chunk one range from its oldest to its newest row: one late row a day, and a refresh would
-- aggregate the day for every device.
CREATE OR REPLACE FUNCTION engine.announce_ingest()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('engine.ingesting', 'on', true);
    PERFORM set_config('timescaledb.skip_cagg_invalidation', 'on', true);
END
$$;
COMMENT ON FUNCTION engine.announce_ingest() IS
    'Tells the rest of the transaction that what it writes to history is accounted for by the engine itself';

CREATE OR REPLACE FUNCTION engine.note_stale_hours(p_promised_before timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO engine.stale_hour AS h (stream, device_id, bucket)
    SELECT DISTINCT
        CASE WHEN s.is_vehicle THEN 'vehicle' ELSE 'meter' END,
        s.device_id,
        date_bin('1 hour', s.ts, 'epoch')
    FROM pg_temp.staged AS s
    WHERE s.ts < p_promised_before
    ORDER BY 1, 2, 3
    ON CONFLICT (stream, device_id, bucket) DO UPDATE SET claimed = false
    WHERE h.claimed;
END
$$;
COMMENT ON FUNCTION engine.note_stale_hours(timestamptz) IS
    'Notes the device hours of staged readings that were rolled up before the readings came';

-- Whoever writes history past the engine (a repair, an import) is right too: answers come from raw history until the
-- next run of the refresh job has caught up with TimescaleDB's own log.
CREATE OR REPLACE FUNCTION engine.distrust_rollups()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('engine.ingesting', true) IS DISTINCT FROM 'on' THEN
        PERFORM engine.lock_horizon();
        -- A transaction that does not see what the horizon became since it began must not go by what it was.
        PERFORM FROM engine.horizon FOR SHARE;
        UPDATE engine.horizon SET trusted = false, claimed = false, day_totals_after = now() + interval '1 day'
        WHERE trusted OR claimed OR day_totals_after < now() + interval '23 hours';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.distrust_rollups() IS
    'Trigger: sends answers to raw history after it was written past the engine';

CREATE OR REPLACE TRIGGER distrust_rollups
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.meter_telemetry_history
FOR EACH STATEMENT EXECUTE FUNCTION engine.distrust_rollups();
CREATE OR REPLACE TRIGGER distrust_rollups
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.vehicle_telemetry_history
FOR EACH STATEMENT EXECUTE FUNCTION engine.distrust_rollups();

-- Order matters. First promise (promised_before, claims on what is stale) and commit; then wait for the writers who did not
-- see the promise; then refresh; only then let answers use it and forget the claims, except those that a writer has
-- renewed meanwhile. Answers never lean on an aggregate's real-time part: its watermark is read when a query is planned,
-- which may be after the snapshot that the query then sees.
CREATE OR REPLACE PROCEDURE engine.refresh_rollups(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    c_budget CONSTANT interval := coalesce(config ->> 'budget', '20 seconds');
    v_started timestamptz := clock_timestamp();
    v_until timestamptz := date_bin('1 hour', now() - interval '10 minutes', 'epoch');
    v_horizon engine.horizon;
    v_stream text;
    v_bucket timestamptz;
    v_claimed timestamptz[];
    v_done timestamptz[];
BEGIN
    -- A session lock: one refresh at a time, over all the transactions below.
    PERFORM pg_advisory_lock('engine.horizon'::regclass::oid::integer, 1);
    UPDATE engine.horizon SET promised_before = greatest(v_until, promised_before), claimed = NOT trusted
    RETURNING * INTO STRICT v_horizon;
    v_until := v_horizon.promised_before;
    -- Writers note stale hours during their turn: outside it, this would lock the same rows in another order.
    PERFORM engine.take_status_turn();
    UPDATE engine.stale_hour SET claimed = true WHERE NOT claimed;
    COMMIT;
    PERFORM engine.await_writers();
    COMMIT;

    FOREACH v_stream IN ARRAY ARRAY['meter', 'vehicle'] LOOP
        IF v_horizon.trusted THEN
            CALL engine.refresh_stream(v_stream, v_horizon.rolled_up_before, v_until);
        ELSE
            CALL engine.refresh_stream(v_stream, engine.refreshable_from(v_stream), v_until);
        END IF;
    END LOOP;
    UPDATE engine.horizon SET rolled_up_before = v_until, trusted = trusted OR claimed, claimed = false;
    COMMIT;

    FOREACH v_stream IN ARRAY ARRAY['meter', 'vehicle'] LOOP
        v_claimed := ARRAY(
            SELECT DISTINCT h.bucket FROM engine.stale_hour AS h
            WHERE h.stream = v_stream AND h.claimed
            ORDER BY h.bucket DESC
        );
        v_done := '{}';
        FOREACH v_bucket IN ARRAY v_claimed LOOP
            EXIT WHEN clock_timestamp() > v_started + c_budget;
            CALL public.refresh_continuous_aggregate(
                format('public.%s_telemetry_hourly', v_stream)::regclass, v_bucket, v_bucket + interval '1 hour', force => true
            );
            v_done := v_done || v_bucket;
        END LOOP;
        -- A day under way is left to the real-time part: once refreshed, its later hours would wait for its end.
        FOREACH v_bucket IN ARRAY ARRAY(
            SELECT DISTINCT date_bin('1 day', d.bucket, 'epoch') FROM unnest(v_done) AS d (bucket)
            WHERE d.bucket < date_bin('1 day', v_until, 'epoch')
        ) LOOP
            CALL public.refresh_continuous_aggregate(
                format('public.%s_telemetry_daily', v_stream)::regclass, v_bucket, v_bucket + interval '1 day', force => true
            );
        END LOOP;
        PERFORM engine.take_status_turn();
        DELETE FROM engine.stale_hour AS h WHERE h.stream = v_stream AND h.claimed AND h.bucket = ANY (v_done);
        COMMIT;
    END LOOP;
    PERFORM pg_advisory_unlock('engine.horizon'::regclass::oid::integer, 1);
END
$$;
COMMENT ON PROCEDURE engine.refresh_rollups(integer, jsonb) IS
    'Job: rolls up the hours that ended more than 10 minutes ago and, newest first, the stale ones; config {"budget": interval} limits a run';

CREATE OR REPLACE FUNCTION engine.refreshable_from(p_stream text)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(
        CASE p_stream WHEN 'meter' THEN h.meter_history_from ELSE h.vehicle_history_from END,
        (
            SELECT min(c.range_start) FROM timescaledb_information.chunks AS c
            WHERE c.hypertable_schema = 'public' AND c.hypertable_name = p_stream || '_telemetry_history'
        )
    )
    FROM engine.horizon AS h
$$;
COMMENT ON FUNCTION engine.refreshable_from(text) IS
    'Time from which a stream''s history is whole, so that a refresh takes nothing from the rollups: what retention meant to drop and had to keep is part of it';

CREATE OR REPLACE PROCEDURE engine.refresh_stream(p_stream text, p_from timestamptz, p_until timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    -- All at once: TimescaleDB 2.28 leaves out a bucket that begins where one of its batches ends, and tells nobody.
    c_options CONSTANT jsonb := '{"buckets_per_batch": 0}';
    v_from timestamptz := nullif(p_from, '-infinity');
    v_day_from timestamptz := date_bin('1 day', v_from, 'epoch');
    v_day_until timestamptz := date_bin('1 day', p_until, 'epoch');
BEGIN
    IF p_from < p_until THEN
        CALL public.refresh_continuous_aggregate(
            format('public.%s_telemetry_hourly', p_stream)::regclass, v_from, p_until, options => c_options
        );
    END IF;
    IF v_day_from IS NULL OR v_day_from < v_day_until THEN
        CALL public.refresh_continuous_aggregate(
            format('public.%s_telemetry_daily', p_stream)::regclass, v_day_from, v_day_until, options => c_options
        );
    END IF;
END
$$;
COMMENT ON PROCEDURE engine.refresh_stream(text, timestamptz, timestamptz) IS
    'Refreshes a stream''s hourly rollup over [from, until) and its daily one over the days that it touches and that have ended';

-- A rollup must outlive its source. So: nothing is dropped that a refresh still owes, writers are told to refuse what is
-- older before anything goes, and the drop leaves no trace in the log that a later refresh would follow.
CREATE OR REPLACE PROCEDURE engine.apply_retention(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    v_stream text;
    v_cut timestamptz;
BEGIN
    PERFORM pg_advisory_lock('engine.retention'::regclass::oid::integer, 0);
    FOREACH v_stream IN ARRAY ARRAY['meter', 'vehicle'] LOOP
        SELECT max(c.range_end) INTO v_cut
        FROM timescaledb_information.chunks AS c
        WHERE c.hypertable_schema = 'public'
            AND c.hypertable_name = v_stream || '_telemetry_history'
            AND c.range_end <= now() - engine.keep_interval(v_stream || '_telemetry_history');
        UPDATE engine.horizon SET
            meter_history_from = CASE v_stream WHEN 'meter' THEN greatest(meter_history_from, v_cut) ELSE meter_history_from END,
            vehicle_history_from = CASE v_stream WHEN 'vehicle' THEN greatest(vehicle_history_from, v_cut) ELSE vehicle_history_from END
        WHERE v_cut IS NOT NULL AND engine.rolled_up_through(v_stream, v_cut);
        COMMIT;
        PERFORM engine.await_writers();
        COMMIT;
        IF engine.rolled_up_through(v_stream, v_cut) THEN
            PERFORM set_config('timescaledb.skip_cagg_invalidation', 'on', true);
            PERFORM public.drop_chunks(format('public.%s_telemetry_history', v_stream)::regclass, older_than => v_cut);
        ELSIF v_cut IS NOT NULL THEN
            RAISE WARNING '% history before % is kept: the rollups do not hold all of it yet', v_stream, v_cut;
        END IF;
        COMMIT;

        v_cut := now() - engine.keep_interval(v_stream || '_telemetry_hourly');
        IF engine.rolled_up_through(v_stream, v_cut) THEN
            PERFORM set_config('timescaledb.skip_cagg_invalidation', 'on', true);
            PERFORM public.drop_chunks(format('public.%s_telemetry_hourly', v_stream)::regclass, older_than => v_cut);
        END IF;
        v_cut := now() - engine.keep_interval(v_stream || '_telemetry_daily');
        IF v_cut IS NOT NULL THEN
            PERFORM public.drop_chunks(format('public.%s_telemetry_daily', v_stream)::regclass, older_than => v_cut);
        END IF;
        COMMIT;
    END LOOP;
    PERFORM pg_advisory_unlock('engine.retention'::regclass::oid::integer, 0);
END
$$;
COMMENT ON PROCEDURE engine.apply_retention(integer, jsonb) IS
    'Job: drops what engine.retention no longer keeps, in whole chunks, once the rollups hold it';

CREATE OR REPLACE FUNCTION engine.rolled_up_through(p_stream text, p_until timestamptz)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.trusted
        AND h.rolled_up_before >= p_until
        AND NOT EXISTS (SELECT FROM engine.stale_hour AS s WHERE s.stream = p_stream AND s.bucket < p_until)
    FROM engine.horizon AS h
$$;
COMMENT ON FUNCTION engine.rolled_up_through(text, timestamptz) IS
    'Whether the rollups of a stream hold every reading before a time';

CREATE OR REPLACE FUNCTION engine.note_upkeep_failure(p_error text)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT $$;
COMMENT ON FUNCTION engine.note_upkeep_failure(text) IS
    'Notes why engine.run_upkeep failed, where the database keeps no such record itself';

CREATE OR REPLACE PROCEDURE engine.run_upkeep()
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN;
END
$$;
COMMENT ON PROCEDURE engine.run_upkeep() IS
    'What the service calls every hour; nothing in this edition, whose jobs run by themselves';

SELECT public.add_job('engine.refresh_rollups', INTERVAL '30 seconds', config => '{"budget": "20 seconds"}')
WHERE NOT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_schema = 'engine' AND proc_name = 'refresh_rollups');
SELECT public.add_job('engine.apply_retention', INTERVAL '1 hour')
WHERE NOT EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_schema = 'engine' AND proc_name = 'apply_retention');
