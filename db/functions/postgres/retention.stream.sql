-- What retention deletes of a stream on plain PostgreSQL.

CREATE OR REPLACE FUNCTION engine.delete_expired_{stream}_rows() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.{stream}_telemetry_history WHERE ts < (engine.horizon_of('{stream}')).history_from;
    DELETE FROM public.{stream}_telemetry_15min WHERE bucket < date_bin('1 hour', now() - engine.keep_interval('{stream}_telemetry_15min'), 'epoch');
    DELETE FROM public.{stream}_telemetry_hourly WHERE bucket < now() - engine.keep_interval('{stream}_telemetry_hourly');
    DELETE FROM public.{stream}_telemetry_daily WHERE bucket < now() - engine.keep_interval('{stream}_telemetry_daily');
$$;
COMMENT ON FUNCTION engine.delete_expired_{stream}_rows() IS 'Deletes {stream} history before its start, and rollups that engine.retention no longer keeps';
