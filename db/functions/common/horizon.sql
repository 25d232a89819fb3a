-- The lock between those who write history and those who move the horizon (see the comment above engine.horizon).

CREATE OR REPLACE FUNCTION engine.lock_horizon(p_stream text) RETURNS engine.horizon
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_horizon engine.horizon;
BEGIN
    PERFORM pg_advisory_xact_lock_shared('engine.horizon'::regclass::oid::integer, 0);
    SELECT * INTO STRICT v_horizon FROM engine.horizon AS h WHERE h.stream = p_stream;
    RETURN v_horizon;
END
$$;
COMMENT ON FUNCTION engine.lock_horizon(text) IS 'Takes the writers'' share of the horizon lock until the end of the transaction and returns the horizon of a stream that holds meanwhile';

-- Whoever queued for the lock itself would keep out every later writer until the slowest one is done.
CREATE OR REPLACE FUNCTION engine.await_writers() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_awaited text[];
    v_writers text[];
BEGIN
    LOOP
        SELECT array_agg(l.virtualtransaction) INTO v_writers
        FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.classid = 'engine.horizon'::regclass AND l.objid = 0 AND l.objsubid = 2 AND l.granted
            AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database());
        v_awaited := coalesce(v_awaited, v_writers);
        EXIT WHEN NOT coalesce(v_awaited && v_writers, false);
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.await_writers() IS 'Waits until every transaction that wrote history under an older horizon has ended; those that begin meanwhile see the present one, and need not wait';

CREATE OR REPLACE FUNCTION engine.stop_writers() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT pg_advisory_xact_lock('engine.horizon'::regclass::oid::integer, 0) $$;
COMMENT ON FUNCTION engine.stop_writers() IS 'Waits until nobody writes history, and keeps everybody from it until the end of the transaction';

CREATE OR REPLACE FUNCTION engine.rollup_delay() RETURNS interval
LANGUAGE sql IMMUTABLE
RETURN interval '5 minutes';
COMMENT ON FUNCTION engine.rollup_delay() IS 'How long after its end a quarter of an hour is rolled up: what comes later is late';
