-- Ingest: the service copies readings into pg_temp.staged and calls engine.ingest_staged() in the same transaction.

CREATE OR REPLACE FUNCTION engine.open_staging()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- varchar(64) and no other wide column: the table needs no TOAST relation, so emptying it at commit is cheap.
    CREATE TEMPORARY TABLE staged (
        ordinal integer NOT NULL,
        is_vehicle boolean NOT NULL,
        device_id varchar(64) COLLATE "C" NOT NULL,
        ts timestamptz NOT NULL,
        energy bigint NOT NULL,
        soc bigint,
        voltage_or_temp bigint NOT NULL
    ) ON COMMIT DELETE ROWS;
END
$$;
COMMENT ON FUNCTION engine.open_staging() IS
    'Makes the session''s staging table pg_temp.staged (ordinal, is_vehicle, device_id, ts, and in ten-thousandths: energy of a kWh, soc of a percent or null for meters, voltage_or_temp of a V or °C); emptied at every commit';

-- A reading is known by (device, ts) and the first value stands. History is written in key order, meters before vehicles,
-- hot status after it and by one writer at a time: concurrent writers wait for each other, never in a ring.
-- Most batches hold nothing that is stored already, and a plain INSERT is a third faster than one that asks; so ask only
-- when the plain one fails. Afterwards pg_temp.staged holds just the readings that this call stored.
CREATE OR REPLACE FUNCTION engine.ingest_staged(OUT duplicates integer[], OUT expired integer[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_horizon engine.horizon := engine.lock_horizon();
    v_readings bigint;
    v_has_meters boolean;
    v_has_vehicles boolean;
BEGIN
    PERFORM engine.announce_ingest();
    expired := engine.take_expired(v_horizon.meter_history_from, v_horizon.vehicle_history_from);
    duplicates := '{}';

    SELECT count(*), coalesce(bool_or(NOT s.is_vehicle), false), coalesce(bool_or(s.is_vehicle), false)
    INTO v_readings, v_has_meters, v_has_vehicles
    FROM pg_temp.staged AS s;

    IF v_has_meters THEN
        BEGIN
            INSERT INTO public.meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage)
            SELECT s.device_id, s.ts, s.energy * 0.0001, s.voltage_or_temp * 0.0001
            FROM pg_temp.staged AS s
            WHERE NOT s.is_vehicle
            ORDER BY s.device_id, s.ts;
        EXCEPTION WHEN unique_violation THEN
            WITH stored AS (
                INSERT INTO public.meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage)
                SELECT s.device_id, s.ts, s.energy * 0.0001, s.voltage_or_temp * 0.0001
                FROM pg_temp.staged AS s
                WHERE NOT s.is_vehicle
                ORDER BY s.device_id, s.ts, s.ordinal
                ON CONFLICT DO NOTHING
                RETURNING meter_id, ts
            )
            SELECT duplicates || engine.take_duplicates(false, array_agg(stored.meter_id), array_agg(stored.ts))
            INTO duplicates
            FROM stored;
        END;
    END IF;

    IF v_has_vehicles THEN
        BEGIN
            INSERT INTO public.vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp)
            SELECT s.device_id, s.ts, s.soc * 0.0001, s.energy * 0.0001, s.voltage_or_temp * 0.0001
            FROM pg_temp.staged AS s
            WHERE s.is_vehicle
            ORDER BY s.device_id, s.ts;
        EXCEPTION WHEN unique_violation THEN
            WITH stored AS (
                INSERT INTO public.vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp)
                SELECT s.device_id, s.ts, s.soc * 0.0001, s.energy * 0.0001, s.voltage_or_temp * 0.0001
                FROM pg_temp.staged AS s
                WHERE s.is_vehicle
                ORDER BY s.device_id, s.ts, s.ordinal
                ON CONFLICT DO NOTHING
                RETURNING vehicle_id, ts
            )
            SELECT duplicates || engine.take_duplicates(true, array_agg(stored.vehicle_id), array_agg(stored.ts))
            INTO duplicates
            FROM stored;
        END;
    END IF;

    PERFORM engine.take_status_turn();
    PERFORM engine.choose_status_plan(v_readings);
    IF v_has_meters THEN
        PERFORM engine.update_meter_state();
    END IF;
    IF v_has_vehicles THEN
        PERFORM engine.update_vehicle_state();
    END IF;
    PERFORM engine.note_stale_hours(v_horizon.promised_before);
END
$$;
COMMENT ON FUNCTION engine.ingest_staged() IS
    'Stores the session''s staged readings in history, hot status and daily totals; returns the ordinals of those stored before (duplicates) and of those older than the kept history (expired, not stored)';

CREATE OR REPLACE FUNCTION engine.take_expired(p_meter_history_from timestamptz, p_vehicle_history_from timestamptz)
RETURNS integer[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_meter_from timestamptz := greatest(p_meter_history_from, now() - engine.keep_interval('meter_telemetry_history'));
    v_vehicle_from timestamptz := greatest(p_vehicle_history_from, now() - engine.keep_interval('vehicle_telemetry_history'));
    v_expired integer[];
BEGIN
    WITH taken AS (
        DELETE FROM pg_temp.staged AS s
        WHERE s.ts < CASE WHEN s.is_vehicle THEN v_vehicle_from ELSE v_meter_from END
        RETURNING s.ordinal
    )
    SELECT coalesce(array_agg(taken.ordinal), '{}') INTO v_expired FROM taken;
    RETURN v_expired;
END
$$;
COMMENT ON FUNCTION engine.take_expired(timestamptz, timestamptz) IS
    'Removes readings older than the kept history from the staging table and returns their ordinals';

CREATE OR REPLACE FUNCTION engine.keep_interval(p_relation text)
RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.keep FROM engine.retention AS r WHERE r.relation = p_relation
$$;
COMMENT ON FUNCTION engine.keep_interval(text) IS 'How long a relation keeps its rows; null: for ever';

CREATE OR REPLACE FUNCTION engine.take_duplicates(p_is_vehicle boolean, p_stored_ids text[], p_stored_ts timestamptz[])
RETURNS integer[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_duplicates integer[];
BEGIN
    WITH stored AS MATERIALIZED (
        SELECT min(s.ordinal) AS ordinal
        FROM unnest(p_stored_ids, p_stored_ts) AS k (device_id, ts)
        JOIN pg_temp.staged AS s USING (device_id, ts)
        WHERE s.is_vehicle = p_is_vehicle
        GROUP BY s.device_id, s.ts
    ), taken AS (
        DELETE FROM pg_temp.staged AS s
        WHERE s.is_vehicle = p_is_vehicle
            AND NOT EXISTS (SELECT FROM stored WHERE stored.ordinal = s.ordinal)
        RETURNING s.ordinal
    )
    SELECT coalesce(array_agg(taken.ordinal), '{}') INTO v_duplicates FROM taken;
    RETURN v_duplicates;
END
$$;
COMMENT ON FUNCTION engine.take_duplicates(boolean, text[], timestamptz[]) IS
    'Removes the readings that were not stored (all but the first of each stored key) from the staging table and returns their ordinals';
