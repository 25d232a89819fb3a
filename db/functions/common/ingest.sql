-- Ingest: the service copies readings into pg_temp.staged and calls engine.ingest_staged() in the same transaction.

CREATE OR REPLACE FUNCTION engine.open_staging() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- varchar(64) and no other wide column: the table needs no TOAST relation, so emptying it at commit is cheap.
    CREATE TEMPORARY TABLE staged (
        ordinal integer NOT NULL,
        is_vehicle boolean NOT NULL,
        device_id varchar(64) COLLATE "C" NOT NULL,
        ts timestamptz NOT NULL,
        energy_e4 bigint NOT NULL,
        soc_e4 bigint,
        voltage_or_temp_e4 bigint
    ) ON COMMIT DELETE ROWS;
END
$$;
COMMENT ON FUNCTION engine.open_staging() IS 'Creates the session''s staging table pg_temp.staged (ordinal, is_vehicle, device_id, ts, and in ten-thousandths: energy_e4 of a kWh, soc_e4 of a percent, null for meters, voltage_or_temp_e4 of a V or °C; null for what a device does not know); every commit empties it';

-- A reading is known by (device, ts) and the first value stands. History is written in key order, meters before vehicles,
-- hot status after it and by one writer at a time: concurrent writers wait for each other, never in a ring.
CREATE OR REPLACE FUNCTION engine.ingest_staged(OUT duplicates integer[], OUT expired integer[], OUT conflicts integer[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_readings bigint; v_has_meters boolean; v_has_vehicles boolean; v_most_energy bigint;
    v_max_kw numeric := (SELECT s.max_plausible_kw FROM engine.settings AS s);
    v_known record;
BEGIN
    PERFORM engine.skip_invalidation_log();
    PERFORM engine.lock_horizon('meter');
    expired := engine.remove_expired();
    duplicates := '{}';
    conflicts := '{}';
    SELECT count(*), coalesce(bool_or(NOT s.is_vehicle), false), coalesce(bool_or(s.is_vehicle), false), coalesce(max(s.energy_e4), 0)
    INTO v_readings, v_has_meters, v_has_vehicles, v_most_energy
    FROM pg_temp.staged AS s;

    IF v_has_meters THEN
        SELECT * INTO duplicates, conflicts FROM engine.store_meter_readings();
    END IF;
    IF v_has_vehicles THEN
        v_known := engine.store_vehicle_readings();
        duplicates := duplicates || v_known.duplicates;
        conflicts := conflicts || v_known.conflicts;
    END IF;
    PERFORM engine.lock_status();
    -- A few devices are looked up by index, with a plan made once for a connection. For many, one pass over the fleet may be
    -- cheaper: a plan made for the batch at hand weighs that. Left alone, the server keeps whichever plan it made first.
    IF v_readings < 2000 THEN
        PERFORM set_config('plan_cache_mode', 'force_generic_plan', true),
            set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
    ELSE
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    END IF;
    IF v_most_energy * 0.036 > v_max_kw THEN
        IF v_has_meters THEN
            PERFORM engine.mark_implausible_meters(v_max_kw);
        END IF;
        IF v_has_vehicles THEN
            PERFORM engine.mark_implausible_vehicles(v_max_kw);
        END IF;
    END IF;
    IF v_has_meters THEN
        PERFORM engine.update_meter_state();
    END IF;
    IF v_has_vehicles THEN
        PERFORM engine.update_vehicle_state();
    END IF;
END
$$;
COMMENT ON FUNCTION engine.ingest_staged() IS 'Stores the session''s staged readings in history, hot status and daily totals; returns the ordinals of those stored before (duplicates), of those among them whose values differ from what is stored (conflicts), and of those older than the kept history (expired, not stored)';

CREATE OR REPLACE FUNCTION engine.remove_expired() RETURNS integer[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_meters_from timestamptz; v_vehicles_from timestamptz;
    v_expired integer[];
BEGIN
    SELECT
        max(greatest(h.accepted_from, now() - r.keep)) FILTER (WHERE h.stream = 'meter'),
        max(greatest(h.accepted_from, now() - r.keep)) FILTER (WHERE h.stream = 'vehicle')
    INTO v_meters_from, v_vehicles_from
    FROM engine.horizon AS h JOIN engine.retention AS r ON r.relation = h.stream || '_telemetry_history';
    WITH removed AS (
        DELETE FROM pg_temp.staged AS s
        WHERE s.ts < CASE WHEN s.is_vehicle THEN v_vehicles_from ELSE v_meters_from END RETURNING s.ordinal
    )
    SELECT coalesce(array_agg(removed.ordinal), '{}') INTO v_expired FROM removed;
    RETURN v_expired;
END
$$;
COMMENT ON FUNCTION engine.remove_expired() IS 'Removes readings older than the kept history from the staging table and returns their ordinals';

CREATE OR REPLACE FUNCTION engine.accepted_from(OUT meter timestamptz, OUT vehicle timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        max(greatest(h.accepted_from, now() - r.keep)) FILTER (WHERE h.stream = 'meter'),
        max(greatest(h.accepted_from, now() - r.keep)) FILTER (WHERE h.stream = 'vehicle')
    FROM engine.horizon AS h JOIN engine.retention AS r ON r.relation = h.stream || '_telemetry_history'
$$;
COMMENT ON FUNCTION engine.accepted_from() IS 'The oldest time that a reading of a meter and of a vehicle may have; engine.remove_expired() refuses what is older';

CREATE OR REPLACE FUNCTION engine.keep_interval(p_relation text) RETURNS interval
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$ SELECT r.keep FROM engine.retention AS r WHERE r.relation = p_relation $$;
COMMENT ON FUNCTION engine.keep_interval(text) IS 'How long a relation keeps its rows; null: for ever';
