-- Readings in doubt: how long what is noted about them is kept.

CREATE OR REPLACE FUNCTION engine.forget_doubtful_readings(p_stream text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.voided_reading WHERE stream = p_stream AND ts < (engine.horizon_of(p_stream)).history_from;
    DELETE FROM engine.implausible_reading WHERE stream = p_stream AND ts < now() - engine.keep_interval(p_stream || '_telemetry_hourly');
$$;
COMMENT ON FUNCTION engine.forget_doubtful_readings(text) IS 'Forgets voided readings with the history that they had been part of, and implausible ones with the hourly rollups';
