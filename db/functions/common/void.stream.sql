-- Voiding: readings that should never have been stored leave history, status and every answer, and stay in voided_reading.

-- As a late reading does, a void marks the device hours that it touches as stale (on plain PostgreSQL nothing is late, and
-- triggers correct the rollups). engine.voids tells the triggers on deletions that this function does what they would:
-- only the owner may delete, so nobody else has a use for that setting.
CREATE OR REPLACE FUNCTION engine.void_{stream}_readings(
    p_device_id text, p_from timestamptz, p_to timestamptz, p_voided_by text, p_dry_run boolean,
    OUT readings bigint, OUT kwh numeric, OUT first_reading_at timestamptz, OUT last_reading_at timestamptz
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_horizon engine.horizon;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'readings are voided by a transaction that is read committed: any other may not see what is rolled up'
            USING ERRCODE = 'active_sql_transaction';
    END IF;
    PERFORM engine.check_period(p_from, p_to);
    PERFORM engine.skip_invalidation_log();
    v_horizon := engine.lock_horizon('{stream}');
    p_from := greatest(p_from, v_horizon.accepted_from);
    IF p_dry_run THEN
        SELECT count(*), coalesce(sum(h.{energy}), 0), min(h.ts), max(h.ts) INTO readings, kwh, first_reading_at, last_reading_at
        FROM public.{stream}_telemetry_history AS h WHERE h.{device} = p_device_id AND h.ts >= p_from AND h.ts < p_to;
        RETURN;
    END IF;
    PERFORM set_config('engine.voids', 'on', true);
    WITH gone AS (
        DELETE FROM public.{stream}_telemetry_history AS h
        WHERE h.{device} = p_device_id AND h.ts >= p_from AND h.ts < p_to
        RETURNING h.ts, h.{energy}, {measures}, h.ingested_at
    ), kept AS (
        INSERT INTO public.voided_reading (stream, device_id, ts, kwh, {measures}, ingested_at, voided_by)
        SELECT '{stream}', p_device_id, g.ts, g.{energy}, {measures}, g.ingested_at, p_voided_by FROM gone AS g
    ), marked AS (
        INSERT INTO engine.stale_hour (stream, device_id, bucket)
        SELECT DISTINCT '{stream}', p_device_id, date_bin('1 hour', g.ts, 'epoch') FROM gone AS g WHERE g.ts < v_horizon.late_before
    )
    SELECT count(*), coalesce(sum(g.{energy}), 0), min(g.ts), max(g.ts) INTO readings, kwh, first_reading_at, last_reading_at
    FROM gone AS g;
    PERFORM set_config('engine.voids', 'off', true);
    IF readings > 0 THEN
        PERFORM engine.lock_status();
        PERFORM engine.recount_{stream}_status(ARRAY[p_device_id]);
    END IF;
END
$$;
COMMENT ON FUNCTION engine.void_{stream}_readings(text, timestamptz, timestamptz, text, boolean) IS 'Voids the readings of a {stream} over [from, to), or tells on a dry run what it would take: number, energy (kWh), first and last time; public.voided_reading keeps them, with who voided them. Raises invalid_parameter_value when that is no period';
