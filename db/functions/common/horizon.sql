-- The lock between those who write history and those who move the rollup horizon (see engine.horizon).

CREATE OR REPLACE FUNCTION engine.lock_horizon()
RETURNS engine.horizon
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_horizon engine.horizon;
BEGIN
    PERFORM pg_advisory_xact_lock_shared('engine.horizon'::regclass::oid::integer, 0);
    SELECT * INTO STRICT v_horizon FROM engine.horizon;
    RETURN v_horizon;
END
$$;
COMMENT ON FUNCTION engine.lock_horizon() IS
    'Takes the writers'' share of the horizon lock until the end of the transaction and returns the horizon that holds meanwhile';

CREATE OR REPLACE FUNCTION engine.await_writers()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('engine.horizon'::regclass::oid::integer, 0);
END
$$;
COMMENT ON FUNCTION engine.await_writers() IS
    'Waits until every transaction that wrote history under an older horizon has ended; end the own transaction right after it';
