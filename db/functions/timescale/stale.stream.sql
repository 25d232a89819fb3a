-- Which device hours the rollups no longer tell: whoever writes history, through the engine or past it, marks the hours
-- that it touched as stale, and answers read those from history until a refresh has rolled them up again.

-- A mark is a row of its own and waits for nobody else's; one that a refresh has claimed does not count any more, since
-- that refresh may not have seen what is written now. The trigger acts as the owner, whoever writes.
CREATE OR REPLACE FUNCTION engine.mark_{stream}_hours() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_oldest timestamptz := (SELECT min(c.ts) FROM changed_rows AS c);
    v_horizon engine.horizon := engine.lock_horizon('{stream}');
BEGIN
    IF v_oldest < v_horizon.accepted_from THEN
        RAISE EXCEPTION '{stream} history before % is dropped: a reading that old cannot be stored or changed', v_horizon.accepted_from
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- A transaction that does not see what the horizon has become must not go by what it was.
        PERFORM FROM engine.horizon AS h WHERE h.stream = '{stream}' FOR SHARE;
    END IF;
    IF v_oldest < v_horizon.late_before THEN
        INSERT INTO engine.stale_hour (stream, device_id, bucket)
        SELECT DISTINCT '{stream}', c.{device}, date_bin('1 hour', c.ts, 'epoch')
        FROM changed_rows AS c
        WHERE c.ts < v_horizon.late_before
            AND NOT EXISTS (
                SELECT FROM engine.stale_hour AS s
                WHERE s.stream = '{stream}' AND s.device_id = c.{device} AND s.bucket = date_bin('1 hour', c.ts, 'epoch') AND NOT s.claimed
            );
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.mark_{stream}_hours() IS 'Trigger: marks the device hours of inserted or updated {stream} readings as stale where they are rolled up already; refuses readings older than the kept history';

CREATE OR REPLACE TRIGGER mark_inserted_hours AFTER INSERT ON public.{stream}_telemetry_history
REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.mark_{stream}_hours();
CREATE OR REPLACE TRIGGER mark_hours_before_update AFTER UPDATE ON public.{stream}_telemetry_history
REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.mark_{stream}_hours();
CREATE OR REPLACE TRIGGER mark_hours_after_update AFTER UPDATE ON public.{stream}_telemetry_history
REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.mark_{stream}_hours();
-- TimescaleDB takes no DELETE trigger that sees the deleted rows.
CREATE OR REPLACE TRIGGER mark_stream AFTER DELETE OR TRUNCATE ON public.{stream}_telemetry_history
FOR EACH STATEMENT EXECUTE FUNCTION engine.mark_stream('{stream}');
