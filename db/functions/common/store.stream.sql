-- Staged readings into history.

-- Most batches hold nothing that is stored already, and a plain INSERT is a third faster than one that asks: duplicates
-- are looked for only when it fails. Whoever stored one of these readings has committed by then.
CREATE OR REPLACE FUNCTION engine.store_{stream}_readings() RETURNS integer[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_found integer[];
    v_duplicates integer[] := '{}';
BEGIN
    LOOP
        BEGIN
            INSERT INTO public.{stream}_telemetry_history ({device}, ts, {measures}, {energy})
            SELECT s.device_id, s.ts, {staged_measures}, s.energy_e4 * 0.0001
            FROM pg_temp.staged AS s
            WHERE s.is_vehicle = {is_vehicle}
            ORDER BY s.device_id, s.ts;
            RETURN v_duplicates;
        EXCEPTION WHEN unique_violation THEN
            v_found := engine.remove_{stream}_duplicates();
            IF v_found = '{}' THEN
                RAISE;
            END IF;
            v_duplicates := v_duplicates || v_found;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.store_{stream}_readings() IS 'Stores the staged {stream} readings in history and returns the ordinals of those that are stored already or staged twice; those are removed from the staging table';

-- Each key is looked up by index: the readings of a batch may lie days apart.
CREATE OR REPLACE FUNCTION engine.remove_{stream}_duplicates() RETURNS integer[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
    v_duplicates integer[];
BEGIN
    SELECT min(s.ts), max(s.ts) INTO v_from, v_to FROM pg_temp.staged AS s WHERE s.is_vehicle = {is_vehicle};
    WITH known AS MATERIALIZED (
        SELECT s.ordinal
        FROM pg_temp.staged AS s
        JOIN public.{stream}_telemetry_history AS h ON h.{device} = s.device_id AND h.ts = s.ts
        WHERE s.is_vehicle = {is_vehicle} AND h.ts BETWEEN v_from AND v_to
        UNION
        SELECT r.ordinal
        FROM (
            SELECT s.ordinal, row_number() OVER (PARTITION BY s.device_id, s.ts ORDER BY s.ordinal) AS place
            FROM pg_temp.staged AS s
            WHERE s.is_vehicle = {is_vehicle}
        ) AS r
        WHERE r.place > 1
    ), removed AS (
        DELETE FROM pg_temp.staged AS s USING known WHERE s.ordinal = known.ordinal
        RETURNING s.ordinal
    )
    SELECT coalesce(array_agg(removed.ordinal), '{}') INTO v_duplicates FROM removed;
    RETURN v_duplicates;
END
$$;
COMMENT ON FUNCTION engine.remove_{stream}_duplicates() IS 'Removes from the staging table the {stream} readings that history holds, and all but the first of each staged twice; returns their ordinals';
