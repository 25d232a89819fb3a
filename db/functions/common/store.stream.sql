-- Staged readings into history.

-- Most batches hold nothing that is stored already, and a plain INSERT is a third faster than one that asks: duplicates
-- are looked for only when it fails. Whoever stored one of these readings has committed by then.
CREATE OR REPLACE FUNCTION engine.store_{stream}_readings(OUT duplicates integer[], OUT conflicts integer[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_found record;
BEGIN
    duplicates := '{}';
    conflicts := '{}';
    LOOP
        BEGIN
            INSERT INTO public.{stream}_telemetry_history ({device}, ts, {measures}, {energy})
            SELECT s.device_id, s.ts, {staged_measures}, s.energy_e4 * 0.0001
            FROM pg_temp.staged AS s
            WHERE s.is_vehicle = {is_vehicle}
            ORDER BY s.device_id, s.ts;
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            v_found := engine.remove_{stream}_duplicates();
            IF v_found.duplicates IS NULL THEN
                RAISE;
            END IF;
            duplicates := duplicates || v_found.duplicates;
            conflicts := conflicts || v_found.conflicts;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION engine.store_{stream}_readings() IS 'Stores the staged {stream} readings in history; returns the ordinals of those that are stored already or staged twice, which it removes from the staging table (duplicates), and of those among them whose values differ from what stands (conflicts)';

-- OFFSET 0 has each key looked up by index, since the readings of a batch may lie days apart; everything else is joined by
-- hash, since a batch of 50,000 may hold nothing but duplicates. The first value of a key stands: that of history, else
-- the first that is staged.
CREATE OR REPLACE FUNCTION engine.remove_{stream}_duplicates(OUT duplicates integer[], OUT conflicts integer[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
DECLARE
    v_from timestamptz; v_to timestamptz;
BEGIN
    SELECT min(s.ts), max(s.ts) INTO v_from, v_to FROM pg_temp.staged AS s WHERE s.is_vehicle = {is_vehicle};
    WITH stored AS MATERIALIZED (
        SELECT s.ordinal, h.differs
        FROM pg_temp.staged AS s
        CROSS JOIN LATERAL (
            SELECT (s.energy_e4 * 0.0001, {staged_measures}) IS DISTINCT FROM (h.{energy}, {measures}) AS differs
            FROM public.{stream}_telemetry_history AS h
            WHERE h.{device} = s.device_id AND h.ts = s.ts AND h.ts BETWEEN v_from AND v_to OFFSET 0
        ) AS h
        WHERE s.is_vehicle = {is_vehicle}
    ), repeated AS MATERIALIZED (
        SELECT r.ordinal, r.measures IS DISTINCT FROM r.first_measures AS differs
        FROM (
            SELECT s.ordinal, m.measures, row_number() OVER same_key AS place, first_value(m.measures) OVER same_key AS first_measures
            FROM pg_temp.staged AS s
            CROSS JOIN LATERAL (SELECT ROW (s.energy_e4, s.soc_e4, s.voltage_or_temp_e4) AS measures) AS m
            WHERE s.is_vehicle = {is_vehicle}
            WINDOW same_key AS (PARTITION BY s.device_id, s.ts ORDER BY s.ordinal)
        ) AS r
        WHERE r.place > 1
    ), known AS MATERIALIZED (
        SELECT coalesce(h.ordinal, r.ordinal) AS ordinal, coalesce(h.differs, r.differs) AS differs
        FROM stored AS h FULL JOIN repeated AS r ON r.ordinal = h.ordinal
    ), removed AS (
        DELETE FROM pg_temp.staged AS s USING known AS k WHERE s.ordinal = k.ordinal RETURNING k.ordinal, k.differs
    )
    SELECT array_agg(r.ordinal), coalesce(array_agg(r.ordinal) FILTER (WHERE r.differs), '{}') INTO duplicates, conflicts FROM removed AS r;
END
$$;
COMMENT ON FUNCTION engine.remove_{stream}_duplicates() IS 'Removes from the staging table the {stream} readings that history holds, and all but the first of each staged twice; returns their ordinals (null: there are none) and those of the ones whose values differ from what stands';
