-- A DELETE or TRUNCATE past the engine corrects hot status on plain PostgreSQL: its trigger sees the rows.

CREATE OR REPLACE FUNCTION engine.recount_deleted_{stream}s() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_devices text[];
BEGIN
    IF current_setting('engine.voids', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        v_devices := ARRAY(SELECT DISTINCT c.{device} FROM changed_rows AS c WHERE c.ts >= (engine.horizon_of('{stream}')).history_from);
        IF v_devices = '{}' THEN
            RETURN NULL;  -- retention
        END IF;
    END IF;
    PERFORM engine.lock_status();
    PERFORM engine.recount_{stream}_status(v_devices);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.recount_deleted_{stream}s() IS 'Trigger: after a DELETE or TRUNCATE past the engine, recounts the status of the {stream}s concerned; a void has done what is needed';

-- After the rollups, by its name: the order in which ingest takes its locks.
CREATE OR REPLACE TRIGGER status_of_deleted AFTER DELETE ON public.{stream}_telemetry_history
REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_deleted_{stream}s();
CREATE OR REPLACE TRIGGER status_of_truncated AFTER TRUNCATE ON public.{stream}_telemetry_history
FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_deleted_{stream}s();
