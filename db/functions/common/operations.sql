-- What operators ask and set: how long rows are kept, what a backup must bring back, whether the database can be written.

-- A rollup must outlive what it is made from: a refresh, or a recount, of rows whose source is gone would empty it. The
-- margins cover what goes in whole days and chunks and so stays a little longer than asked.
CREATE OR REPLACE FUNCTION engine.check_retention(p_relation text, p_keep interval) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c_stream CONSTANT text := split_part(p_relation, '_', 1);
    v_pair record;
BEGIN
    IF p_relation LIKE '%\_history' AND now() - p_keep > now() - interval '2 days' THEN
        RAISE EXCEPTION '% must be kept 2 days or longer: today''s totals and the newest rollups are made from it', p_relation
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_relation LIKE '%\_history' AND now() - p_keep >= now() - engine.columnstore_after() THEN
        RAISE EXCEPTION '% must be kept longer than %, when it goes to the columnstore', p_relation, engine.columnstore_after()
            USING ERRCODE = 'invalid_parameter_value', HINT = 'shorten that first: make columnstore-set';
    END IF;
    IF p_relation LIKE '%\_hourly' AND now() - p_keep > now() - interval '365 days' THEN
        RAISE EXCEPTION '% must be kept 365 days or longer: answers reach back 8760 hours', p_relation
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR v_pair IN
        SELECT
            c_stream || '_telemetry_' || p.finer AS finer, c_stream || '_telemetry_' || p.coarser AS coarser, p.margin, p.margin_in_words,
            CASE WHEN f.relation = p_relation THEN p_keep ELSE f.keep END AS finer_keep,
            CASE WHEN c.relation = p_relation THEN p_keep ELSE c.keep END AS coarser_keep
        FROM (
            VALUES ('history', 'hourly', interval '1 day', 'a day'), ('hourly', 'daily', '30 days', '30 days')
        ) AS p (finer, coarser, margin, margin_in_words)
        JOIN engine.retention AS f ON f.relation = c_stream || '_telemetry_' || p.finer
        JOIN engine.retention AS c ON c.relation = c_stream || '_telemetry_' || p.coarser
        WHERE p_relation IN (f.relation, c.relation)
    LOOP
        IF v_pair.coarser_keep IS NOT NULL
            AND (v_pair.finer_keep IS NULL OR now() - v_pair.coarser_keep > now() - v_pair.finer_keep - v_pair.margin)
        THEN
            RAISE EXCEPTION '% must be kept at least % longer than %, or answers would miss what lies between',
                v_pair.coarser, v_pair.margin_in_words, v_pair.finer
                USING ERRCODE = 'invalid_parameter_value', HINT = 'lengthen the coarser one first, or shorten the finer one first';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.check_retention(text, interval) IS 'Raises invalid_parameter_value when keeping a relation that long (null: for ever) would lose rollups or roll up dropped history';

CREATE OR REPLACE FUNCTION engine.set_retention(p_relation text, p_keep interval, p_dry_run boolean)
RETURNS TABLE (
    keep_before interval, keep_after interval, drops_before timestamptz, drops_chunks bigint, drops_bytes bigint,
    drops_rows bigint, covered boolean, oldest_kept timestamptz
) LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_before interval; v_relations text;
BEGIN
    -- One at a time: a setting is judged beside those of its neighbours.
    PERFORM FROM engine.retention AS r ORDER BY r.relation FOR UPDATE;
    SELECT r.keep INTO v_before FROM engine.retention AS r WHERE r.relation = p_relation;
    IF NOT FOUND THEN
        SELECT string_agg(r.relation, ', ' ORDER BY r.relation) INTO v_relations FROM engine.retention AS r;
        RAISE EXCEPTION '% is no relation with a retention: use one of %', quote_ident(p_relation), v_relations
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_keep <= interval '0' OR p_keep > interval '1000 years' THEN
        RAISE EXCEPTION 'rows can be kept for more than nothing and up to 1000 years, or for ever, not for %', p_keep
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM engine.check_retention(p_relation, p_keep);
    IF NOT p_dry_run THEN
        UPDATE engine.retention AS r SET keep = p_keep WHERE r.relation = p_relation;
    END IF;
    RETURN QUERY
        SELECT v_before, p_keep, e.drops_before, e.drops_chunks, e.drops_bytes, e.drops_rows, e.covered, engine.oldest_row(p_relation, e.drops_before)
        FROM engine.retention_effect(p_relation, p_keep) AS e;
END
$$;
COMMENT ON FUNCTION engine.set_retention(text, interval, boolean) IS 'Sets how long a relation keeps its rows (null: for ever) unless it is a dry run, and tells what engine.apply_retention would drop then; readings older than that are refused at once. Raises invalid_parameter_value for what would lose rollups';

CREATE OR REPLACE FUNCTION engine.manifest() RETURNS TABLE (relation text, row_count bigint, checksum text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' AS $$
BEGIN
    FOR relation IN
        SELECT c.oid::regclass::text
        FROM pg_class AS c
        WHERE c.relnamespace::regnamespace::text IN ('public', 'engine', 'migration')
            AND (c.relkind = 'r' OR c.relname LIKE ANY (ARRAY['%\_telemetry\_15min', '%\_telemetry\_hourly', '%\_telemetry\_daily']))
            AND c.relkind IN ('r', 'v') AND c.relpersistence = 'p'
            AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY 1
    LOOP
        -- A sum of hashes is the same in whatever order the rows lie.
        EXECUTE format('SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM %s AS t', relation)
        INTO row_count, checksum;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.manifest() IS 'Rows of every relation and a checksum over them, the same in whatever order they lie; what a backup and its restored database are compared by';

-- An open transaction of an analyst keeps the chunks that it read from being dropped or converted, and whoever asks for these
-- next waits in line behind that; it also holds back vacuum. The session may lift every timeout of the role, so upkeep ends it.
CREATE OR REPLACE FUNCTION engine.end_long_questions(p_longer_than interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_ended bigint;
BEGIN
    SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) INTO v_ended
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database() AND a.xact_start < clock_timestamp() - p_longer_than
        AND (a.usename = 'analyst' OR pg_has_role(a.usesysid, 'analyst', 'MEMBER') AND NOT pg_has_role(a.usesysid, current_user, 'MEMBER'));
    RETURN v_ended;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN 0;
END
$$;
COMMENT ON FUNCTION engine.end_long_questions(interval) IS 'Ends the sessions of analysts whose transaction has lasted longer than that, and returns how many; part of upkeep';

CREATE OR REPLACE FUNCTION engine.probe_writing() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A new file, so that it must be extended; STORAGE PLAIN, so that what is written is as large as it seems.
    CREATE TEMPORARY TABLE write_probe (filling text) ON COMMIT DROP;
    ALTER TABLE pg_temp.write_probe ALTER COLUMN filling SET STORAGE PLAIN;
    INSERT INTO pg_temp.write_probe (filling) SELECT repeat('-', 8000) FROM generate_series(1, 128);
    -- What every reading waits for.
    PERFORM set_config('lock_timeout', '1500', true), engine.lock_horizon('meter'), engine.lock_status();
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'ingest waits for a lock that another session holds' USING ERRCODE = 'lock_not_available';
END
$$;
COMMENT ON FUNCTION engine.probe_writing() IS 'Fails when a megabyte cannot be written now: the disk is full, this server is a replica or read-only, or ingest waits for a lock';

CREATE OR REPLACE FUNCTION engine.monitoring(
    OUT rollup_lag_seconds double precision, OUT stale_device_hours bigint,
    OUT meter_history_age_seconds double precision, OUT vehicle_history_age_seconds double precision,
    OUT meter_history_retention_seconds double precision, OUT vehicle_history_retention_seconds double precision,
    OUT failing_jobs bigint, OUT database_bytes bigint
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        greatest(0, extract(epoch FROM t.due - greatest(least(t.rolled_up_before, t.due), least(t.meter_start, t.vehicle_start, t.due)))),
        (SELECT count(DISTINCT (s.stream, s.device_id, s.bucket)) FROM engine.stale_hour AS s),
        extract(epoch FROM now() - t.meter_start),
        extract(epoch FROM now() - t.vehicle_start),
        extract(epoch FROM now() - (now() - engine.keep_interval('meter_telemetry_history'))),
        extract(epoch FROM now() - (now() - engine.keep_interval('vehicle_telemetry_history'))),
        (SELECT count(*) FROM engine.jobs() AS j WHERE NOT j.last_succeeded),
        pg_database_size(current_database())
    FROM (
        SELECT
            date_bin('15 minutes', now() - engine.rollup_delay(), 'epoch') AS due, min(h.rolled_up_before) AS rolled_up_before,
            engine.history_start('meter') AS meter_start, engine.history_start('vehicle') AS vehicle_start
        FROM engine.horizon AS h
    ) AS t
$$;
COMMENT ON FUNCTION engine.monitoring() IS 'What a monitor watches: seconds by which the rollups trail behind what they should hold, device hours that wait to be rolled up again, age of the oldest history (to the chunk or day) and how long it is kept (null: for ever), in seconds, jobs whose last run failed, size in bytes';
