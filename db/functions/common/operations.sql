-- What operators ask and set: how long rows are kept, what a backup must bring back, whether the database can be written.

-- A rollup must outlive what it is made from: a refresh, or a recount, of rows whose source is gone would empty it. The
-- margins cover what goes in whole days and chunks and so stays a little longer than asked.
CREATE OR REPLACE FUNCTION engine.check_retention(p_relation text, p_keep interval)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c_stream CONSTANT text := split_part(p_relation, '_', 1);
    v_history timestamptz;
    v_hourly timestamptz;
    v_daily timestamptz;
BEGIN
    SELECT
        now() - max(k.keep) FILTER (WHERE k.relation LIKE '%_history'),
        now() - max(k.keep) FILTER (WHERE k.relation LIKE '%_hourly'),
        now() - max(k.keep) FILTER (WHERE k.relation LIKE '%_daily')
    INTO v_history, v_hourly, v_daily
    FROM (
        SELECT r.relation, CASE WHEN r.relation = p_relation THEN p_keep ELSE r.keep END AS keep
        FROM engine.retention AS r
        WHERE r.relation LIKE c_stream || '\_%'
    ) AS k;
    IF p_relation LIKE '%_history' AND v_history > now() - interval '2 days' THEN
        RAISE EXCEPTION '% must be kept 2 days or longer: today''s totals and the newest rollups are made from it', p_relation
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_relation LIKE '%_history' AND v_history >= now() - engine.columnstore_after() THEN
        RAISE EXCEPTION '% must be kept longer than %, when it goes to the columnstore', p_relation, engine.columnstore_after()
            USING ERRCODE = 'invalid_parameter_value', HINT = 'shorten that first: make columnstore-set';
    END IF;
    IF p_relation LIKE '%_hourly' AND v_hourly > now() - interval '365 days' THEN
        RAISE EXCEPTION '% must be kept 365 days or longer: answers reach back 8760 hours', p_relation
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF v_hourly IS NOT NULL AND (v_history IS NULL OR v_hourly > v_history - interval '1 day') THEN
        RAISE EXCEPTION '%_telemetry_hourly must be kept at least a day longer than %_telemetry_history, or answers would miss hours',
            c_stream, c_stream
            USING ERRCODE = 'invalid_parameter_value', HINT = 'lengthen the rollup first, or shorten history first';
    END IF;
    IF v_daily IS NOT NULL AND (v_hourly IS NULL OR v_daily > v_hourly - interval '30 days') THEN
        RAISE EXCEPTION '%_telemetry_daily must be kept at least 30 days longer than %_telemetry_hourly, or answers would miss days',
            c_stream, c_stream
            USING ERRCODE = 'invalid_parameter_value', HINT = 'lengthen the daily rollup first, or shorten the hourly one first';
    END IF;
END
$$;
COMMENT ON FUNCTION engine.check_retention(text, interval) IS
    'Raises invalid_parameter_value when keeping a relation that long (null: for ever) would lose rollups or roll up dropped history';

CREATE OR REPLACE FUNCTION engine.set_retention(p_relation text, p_keep interval, p_dry_run boolean)
RETURNS TABLE (
    keep_before interval, keep_after interval, drops_before timestamptz,
    drops_chunks bigint, drops_bytes bigint, drops_rows bigint, covered boolean, oldest_kept timestamptz
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before interval;
    v_relations text;
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
        SELECT v_before, p_keep, e.drops_before, e.drops_chunks, e.drops_bytes, e.drops_rows, e.covered,
            engine.oldest_row(p_relation, e.drops_before)
        FROM engine.retention_effect(p_relation, p_keep) AS e;
END
$$;
COMMENT ON FUNCTION engine.set_retention(text, interval, boolean) IS
    'Sets how long a relation keeps its rows (null: for ever) unless it is a dry run, and tells what engine.apply_retention would drop then; readings older than that are refused at once. Raises invalid_parameter_value for what would lose rollups';

CREATE OR REPLACE FUNCTION engine.manifest()
RETURNS TABLE (relation text, row_count bigint, checksum text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
SET bytea_output = 'hex'
AS $$
BEGIN
    FOR relation IN
        SELECT c.oid::regclass::text
        FROM pg_class AS c
        WHERE c.relnamespace::regnamespace::text IN ('public', 'engine', 'migration')
            AND (c.relkind = 'r' OR c.relname LIKE '%\_telemetry\_hourly' OR c.relname LIKE '%\_telemetry\_daily')
            AND c.relkind IN ('r', 'v') AND c.relpersistence = 'p'
            AND NOT EXISTS (
                SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
            )
        ORDER BY 1
    LOOP
        -- A sum of hashes is the same in whatever order the rows lie.
        EXECUTE format('SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM %s AS t', relation)
        INTO row_count, checksum;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.manifest() IS
    'Rows of every relation and a checksum over them, the same in whatever order they lie; what a backup and its restored database are compared by';

CREATE OR REPLACE FUNCTION engine.probe_writing()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A new file, so that it must be extended; STORAGE PLAIN, so that what is written is as large as it seems.
    CREATE TEMPORARY TABLE write_probe (filling text) ON COMMIT DROP;
    ALTER TABLE pg_temp.write_probe ALTER COLUMN filling SET STORAGE PLAIN;
    INSERT INTO pg_temp.write_probe (filling) SELECT repeat('-', 8000) FROM generate_series(1, 128);
END
$$;
COMMENT ON FUNCTION engine.probe_writing() IS
    'Fails when a megabyte cannot be written now: the disk is full, or this server is a replica or read-only';
