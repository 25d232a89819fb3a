-- Staleness: what a refresh owes, told by whoever writes history, through the engine or past it.

-- Late hours are marked device by device (stale.stream.sql). TimescaleDB's own log would note for each transaction and
-- chunk one range from its oldest to its newest row: one late row a day, and a refresh would aggregate the day for every
-- device.
CREATE OR REPLACE FUNCTION engine.skip_invalidation_log() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT set_config('timescaledb.skip_cagg_invalidation', 'on', true) $$;
COMMENT ON FUNCTION engine.skip_invalidation_log() IS 'Keeps what the rest of the transaction writes or drops out of TimescaleDB''s invalidation log';

-- No DELETE trigger sees the rows: so status is recounted for the whole stream, which takes a pass over the stream's day.
CREATE OR REPLACE FUNCTION engine.mark_stream() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('engine.voids', true) = 'on' THEN
        RETURN NULL;
    END IF;
    PERFORM engine.lock_horizon(TG_ARGV[0]);
    UPDATE engine.horizon SET rolled_up_before = history_from, deletions = deletions + 1 WHERE stream = TG_ARGV[0];
    PERFORM engine.lock_status();
    IF TG_ARGV[0] = 'meter' THEN
        PERFORM engine.recount_meter_status(NULL);
    ELSE
        PERFORM engine.recount_vehicle_status(NULL);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.mark_stream() IS 'Trigger: after a DELETE or TRUNCATE past the engine, has all of a stream (the argument) answered from history until the next refresh, and recounts its status; a void has done what is needed';
