-- What operators ask and set, on TimescaleDB.

CREATE OR REPLACE FUNCTION engine.hypertable_of(p_relation text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(max(format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)), format('public.%I', p_relation))::regclass
    FROM timescaledb_information.continuous_aggregates AS c
    WHERE c.view_schema = 'public' AND c.view_name = p_relation
$$;
COMMENT ON FUNCTION engine.hypertable_of(text) IS 'The hypertable that holds the rows of a history or rollup relation';

CREATE OR REPLACE FUNCTION engine.chunks_of(p_relation text)
RETURNS TABLE (chunk text, range_start timestamptz, range_end timestamptz, in_columnstore boolean, bytes bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.chunk_name::text, c.range_start, c.range_end, c.is_compressed, s.total_bytes
    FROM timescaledb_information.chunks AS c
    JOIN public.chunks_detailed_size(engine.hypertable_of(p_relation)) AS s USING (chunk_schema, chunk_name)
    WHERE format('%I.%I', c.hypertable_schema, c.hypertable_name)::regclass = engine.hypertable_of(p_relation)
$$;
COMMENT ON FUNCTION engine.chunks_of(text) IS 'Chunks of a history or rollup relation: their time ranges, and bytes with indexes and columnstore';

CREATE OR REPLACE FUNCTION engine.oldest_row(p_relation text, p_from timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_column text := CASE WHEN p_relation LIKE '%_history' THEN 'ts' ELSE 'bucket' END;
    v_chunk record; v_oldest timestamptz;
BEGIN
    -- From the oldest chunk on, and no further than needed.
    FOR v_chunk IN
        SELECT c.range_start, c.range_end FROM engine.chunks_of(p_relation) AS c
        WHERE c.range_end > coalesce(p_from, '-infinity') ORDER BY c.range_start
    LOOP
        EXECUTE format('SELECT min(t.%1$I) FROM %2$s AS t WHERE t.%1$I >= $1 AND t.%1$I < $2', v_column, engine.hypertable_of(p_relation))
        INTO v_oldest USING greatest(v_chunk.range_start, p_from), v_chunk.range_end;
        EXIT WHEN v_oldest IS NOT NULL;
    END LOOP;
    RETURN v_oldest;
END
$$;
COMMENT ON FUNCTION engine.oldest_row(text, timestamptz) IS 'Time of the oldest row that a history relation, or the stored part of a rollup, holds from a time on (null: of all)';

CREATE OR REPLACE FUNCTION engine.retention_effect(
    p_relation text, p_keep interval, OUT drops_before timestamptz, OUT drops_chunks bigint, OUT drops_bytes bigint,
    OUT drops_rows bigint, OUT covered boolean
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT max(c.range_end), count(*), coalesce(sum(c.bytes), 0)
    INTO drops_before, drops_chunks, drops_bytes
    FROM engine.chunks_of(p_relation) AS c
    WHERE c.range_end <= now() - p_keep;
    IF drops_chunks > 0 THEN
        covered := p_relation NOT LIKE '%_daily' AND engine.rolled_up_through(split_part(p_relation, '_', 1), drops_before);
    END IF;
END
$$;
COMMENT ON FUNCTION engine.retention_effect(text, interval) IS 'What keeping a relation only that long drops: the chunks that end before drops_before, their bytes, and whether coarser rollups hold what goes (null: nothing goes; drops_rows is for the postgres edition)';

CREATE OR REPLACE FUNCTION engine.retention_report()
RETURNS TABLE (
    relation text, keep interval, columnstore_after interval, chunks bigint, columnstore_chunks bigint, bytes bigint,
    oldest_row timestamptz
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.relation, r.keep, p.after, c.chunks, c.columnstore_chunks, c.bytes, engine.oldest_row(r.relation, NULL)
    FROM engine.retention AS r
    LEFT JOIN (
        SELECT j.hypertable_name::text AS relation, (j.config ->> 'compress_after')::interval AS after
        FROM timescaledb_information.jobs AS j
        WHERE j.proc_name = 'policy_compression' AND j.hypertable_schema = 'public'
    ) AS p USING (relation)
    CROSS JOIN LATERAL (
        SELECT count(*) AS chunks, count(*) FILTER (WHERE k.in_columnstore) AS columnstore_chunks, coalesce(sum(k.bytes), 0)::bigint AS bytes
        FROM engine.chunks_of(r.relation) AS k
    ) AS c
    ORDER BY split_part(r.relation, '_', 1), r.keep, r.relation
$$;
COMMENT ON FUNCTION engine.retention_report() IS 'Every relation with a retention: how long it keeps rows (null: for ever), when they go to the columnstore, chunks, bytes and the time of its oldest row';

CREATE OR REPLACE FUNCTION engine.columnstore_after() RETURNS interval
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT max((j.config ->> 'compress_after')::interval)
    FROM timescaledb_information.jobs AS j
    WHERE j.proc_name = 'policy_compression' AND j.hypertable_schema = 'public' AND j.hypertable_name LIKE '%\_telemetry\_history'
$$;
COMMENT ON FUNCTION engine.columnstore_after() IS 'Age at which chunks of history go to the columnstore; null: never';

CREATE OR REPLACE FUNCTION engine.set_columnstore(p_after interval) RETURNS interval
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_before interval := engine.columnstore_after();
    v_shortest interval;
BEGIN
    PERFORM FROM engine.retention AS r ORDER BY r.relation FOR UPDATE;
    SELECT min(r.keep) INTO v_shortest FROM engine.retention AS r WHERE r.relation LIKE '%\_history';
    IF p_after < interval '1 hour' THEN
        RAISE EXCEPTION 'history can go to the columnstore after an hour or later, not after %', p_after
            USING ERRCODE = 'invalid_parameter_value', HINT = 'readings that come late are slower to store there';
    END IF;
    IF now() - p_after <= now() - v_shortest THEN
        RAISE EXCEPTION 'history is kept % only: it must go to the columnstore before that, not after %', v_shortest, p_after
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM public.alter_job(j.job_id, config => jsonb_set(j.config, '{compress_after}', to_jsonb(p_after::text)))
    FROM timescaledb_information.jobs AS j
    WHERE j.proc_name = 'policy_compression' AND j.hypertable_schema = 'public' AND j.hypertable_name LIKE '%\_telemetry\_history';
    RETURN v_before;
END
$$;
COMMENT ON FUNCTION engine.set_columnstore(interval) IS 'Sets the age at which chunks of history go to the columnstore and returns what it was; raises invalid_parameter_value when that is not before they are dropped';

-- On PostgreSQL 15.20 a job ends so after its work, which is committed by then: that is no failure. The function acts as the
-- owner, since TimescaleDB tells nobody else what his jobs failed of.
CREATE OR REPLACE FUNCTION engine.job_failures()
RETURNS TABLE (job_id integer, failures bigint, last_error text, last_run_did_its_work boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        e.job_id, count(*) FILTER (WHERE NOT k.harmless),
        (array_agg(e.err_message ORDER BY e.start_time DESC) FILTER (WHERE NOT k.harmless))[1],
        (array_agg(k.harmless ORDER BY e.start_time DESC))[1]
    FROM timescaledb_information.job_errors AS e
    CROSS JOIN LATERAL (
        SELECT coalesce(e.sqlerrcode = '24000' AND e.err_message LIKE 'cannot drop portal %', false) AS harmless
    ) AS k
    GROUP BY e.job_id
$$;
COMMENT ON FUNCTION engine.job_failures() IS 'Failures of each job that TimescaleDB has kept (a month), the latest error, and whether the latest failed run had done its work';

CREATE OR REPLACE FUNCTION engine.jobs()
RETURNS TABLE (
    job text, relation text, every interval, last_run timestamptz, last_succeeded boolean, next_run timestamptz,
    runs bigint, failures bigint, last_error text, overdue boolean
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        CASE j.proc_name WHEN 'policy_compression' THEN 'columnstore' ELSE j.proc_name::text END,
        j.hypertable_name::text, j.schedule_interval,
        CASE WHEN isfinite(s.last_run_started_at) THEN s.last_run_started_at END,
        CASE s.last_run_status WHEN 'Success' THEN true WHEN 'Failed' THEN coalesce(f.last_run_did_its_work, false) END,
        CASE WHEN j.scheduled AND isfinite(j.next_start) THEN j.next_start END,
        coalesce(s.total_runs, 0), coalesce(f.failures, 0), f.last_error,
        j.scheduled AND coalesce(isfinite(j.next_start) AND j.next_start < now() - interval '5 minutes' AND s.job_status <> 'Running', false)
    FROM timescaledb_information.jobs AS j
    LEFT JOIN timescaledb_information.job_stats AS s USING (job_id)
    LEFT JOIN engine.job_failures() AS f USING (job_id)
    ORDER BY j.proc_schema <> 'engine', j.proc_name, j.hypertable_name
$$;
COMMENT ON FUNCTION engine.jobs() IS 'Every job: how often, its last run and whether that did its work, its next run (null: not scheduled), runs and failures so far, the latest error, and whether its next run is 5 minutes late';

-- TRUNCATE, which ends the conversion of a chunk to the columnstore, empties it for older snapshots too. So a backup
-- first keeps the chunks from being converted, and then takes its snapshot.
CREATE OR REPLACE FUNCTION engine.lock_history_for_backup() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_hypertable regclass;
BEGIN
    PERFORM pg_advisory_xact_lock('engine.retention'::regclass::oid::integer, 0);
    FOR v_hypertable IN
        SELECT format('%I.%I', h.schema_name, h.table_name)::regclass FROM _timescaledb_catalog.hypertable AS h ORDER BY h.id
    LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE', v_hypertable);
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.lock_history_for_backup() IS 'Keeps every chunk from being dropped or converted until the end of the transaction';

CREATE OR REPLACE FUNCTION engine.history_start(p_stream text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(c.range_start) FROM timescaledb_information.chunks AS c
    WHERE c.hypertable_schema = 'public' AND c.hypertable_name = p_stream || '_telemetry_history'
$$;
COMMENT ON FUNCTION engine.history_start(text) IS 'Time at which a stream''s history begins, to the chunk or day; null without any';

CREATE OR REPLACE FUNCTION engine.refresh_is_scheduled() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_or(j.scheduled), false) FROM timescaledb_information.jobs AS j WHERE j.proc_schema = 'engine' AND j.proc_name = 'refresh_rollups'
$$;
COMMENT ON FUNCTION engine.refresh_is_scheduled() IS 'Whether the rollups are refreshed by a job: an operator may have stopped it';
