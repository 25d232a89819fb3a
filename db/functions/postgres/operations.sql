-- What operators ask and set, on plain PostgreSQL.

CREATE OR REPLACE FUNCTION engine.oldest_row(p_relation text, p_from timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_hourly text := replace(p_relation, '_history', '_hourly');
    v_oldest timestamptz;
BEGIN
    IF p_relation NOT LIKE '%\_history' THEN
        EXECUTE format('SELECT min(t.bucket) FROM public.%I AS t WHERE t.bucket >= $1', p_relation) INTO v_oldest USING coalesce(p_from, '-infinity');
        RETURN v_oldest;
    END IF;
    -- The rollup's index tells the hour; history itself has none that begins with the time.
    EXECUTE format(
        'SELECT min(t.ts) FROM public.%1$I AS t WHERE t.ts >= $1 AND t.ts < ('
        'SELECT min(r.bucket) + interval ''1 hour'' FROM public.%2$I AS r WHERE r.bucket >= $1)',
        p_relation, v_hourly
    ) INTO v_oldest USING greatest(p_from, (engine.horizon_of(split_part(p_relation, '_', 1))).history_from);
    RETURN v_oldest;
END
$$;
COMMENT ON FUNCTION engine.oldest_row(text, timestamptz) IS 'Time of the oldest row that a history relation, or the stored part of a rollup, holds from a time on (null: of all)';

CREATE OR REPLACE FUNCTION engine.retention_effect(
    p_relation text, p_keep interval, OUT drops_before timestamptz, OUT drops_chunks bigint, OUT drops_bytes bigint,
    OUT drops_rows bigint, OUT covered boolean
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_rows bigint;
BEGIN
    drops_before := CASE WHEN p_relation LIKE '%\_history' THEN date_bin('1 day', now() - p_keep, 'epoch') ELSE now() - p_keep END;
    EXECUTE format(
        'SELECT count(*) FROM public.%I AS t WHERE t.%I < $1',
        p_relation, CASE WHEN p_relation LIKE '%\_history' THEN 'ts' ELSE 'bucket' END
    ) INTO drops_rows USING drops_before;
    SELECT greatest(c.reltuples, drops_rows, 1) INTO v_rows FROM pg_class AS c WHERE c.oid = format('public.%I', p_relation)::regclass;
    drops_bytes := pg_total_relation_size(format('public.%I', p_relation)::regclass)::numeric * drops_rows / v_rows;
    IF drops_rows > 0 THEN
        covered := p_relation NOT LIKE '%\_daily';
    ELSE
        drops_before := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION engine.retention_effect(text, interval) IS 'What keeping a relation only that long drops: the rows before drops_before, about how many bytes, and whether coarser rollups hold what goes (null: nothing goes; drops_chunks is for the timescale edition)';

CREATE OR REPLACE FUNCTION engine.retention_report()
RETURNS TABLE (
    relation text, keep interval, columnstore_after interval, chunks bigint, columnstore_chunks bigint, bytes bigint,
    oldest_row timestamptz
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.relation, r.keep, NULL::interval, NULL::bigint, NULL::bigint,
        pg_total_relation_size(format('public.%I', r.relation)::regclass), engine.oldest_row(r.relation, NULL)
    FROM engine.retention AS r
    ORDER BY split_part(r.relation, '_', 1), r.keep, r.relation
$$;
COMMENT ON FUNCTION engine.retention_report() IS 'Every relation with a retention: how long it keeps rows (null: for ever), when they go to the columnstore, chunks, bytes and the time of its oldest row';

CREATE OR REPLACE FUNCTION engine.columnstore_after() RETURNS interval
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT NULL::interval $$;
COMMENT ON FUNCTION engine.columnstore_after() IS 'Age at which chunks of history go to the columnstore; null: never';

CREATE OR REPLACE FUNCTION engine.set_columnstore(p_after interval) RETURNS interval
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the postgres edition has no columnstore: it comes with TimescaleDB Community'
        USING ERRCODE = 'feature_not_supported';
END
$$;
COMMENT ON FUNCTION engine.set_columnstore(interval) IS 'Raises feature_not_supported: the columnstore comes with TimescaleDB';

CREATE OR REPLACE FUNCTION engine.upkeep_runs() RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
            AND l.classid = 'engine.retention'::regclass::oid AND l.objid = 0 AND l.objsubid = 2 AND l.granted
    )
$$;
COMMENT ON FUNCTION engine.upkeep_runs() IS 'Whether upkeep is under way in some session';

CREATE OR REPLACE FUNCTION engine.jobs()
RETURNS TABLE (
    job text, relation text, every interval, last_run timestamptz, last_succeeded boolean, next_run timestamptz,
    runs bigint, failures bigint, last_error text, overdue boolean
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT u.job, NULL::text, interval '1 hour', u.started_at,
        CASE WHEN u.finished_at >= u.started_at THEN true WHEN NOT r.running THEN false END,
        u.started_at + interval '1 hour', u.runs, u.runs - u.successes - (r.running AND u.started_at > coalesce(u.finished_at, '-infinity'))::integer,
        u.error, u.started_at < now() - interval '65 minutes' AND NOT r.running
    FROM engine.upkeep AS u
    CROSS JOIN (SELECT engine.upkeep_runs() AS running) AS r
    ORDER BY u.job
$$;
COMMENT ON FUNCTION engine.jobs() IS 'Every job: how often, its last run and whether that did its work, its next run (null: not scheduled), runs and failures so far, the latest error, and whether its next run is 5 minutes late';

CREATE OR REPLACE FUNCTION engine.lock_history_for_backup() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('engine.retention'::regclass::oid::integer, 0);
    LOCK TABLE public.meter_telemetry_history, public.vehicle_telemetry_history IN ACCESS SHARE MODE;
END
$$;
COMMENT ON FUNCTION engine.lock_history_for_backup() IS 'Keeps history from being dropped until the end of the transaction';

CREATE OR REPLACE FUNCTION engine.history_start(p_stream text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT engine.oldest_row(p_stream || '_telemetry_history', NULL) $$;
COMMENT ON FUNCTION engine.history_start(text) IS 'Time at which a stream''s history begins, to the chunk or day; null without any';

CREATE OR REPLACE FUNCTION engine.refresh_is_scheduled() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT false $$;
COMMENT ON FUNCTION engine.refresh_is_scheduled() IS 'Whether the rollups are refreshed by a job: an operator may have stopped it';
