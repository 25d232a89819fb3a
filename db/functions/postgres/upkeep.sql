-- Upkeep on plain PostgreSQL: triggers that keep the rollups exact with every statement, and retention.

CREATE OR REPLACE FUNCTION engine.edition()
RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'postgres';
COMMENT ON FUNCTION engine.edition() IS 'Edition of the database layer: timescale or postgres';

CREATE OR REPLACE FUNCTION engine.announce_ingest()
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT $$;
COMMENT ON FUNCTION engine.announce_ingest() IS
    'Tells the rest of the transaction that what it writes to history is accounted for by the engine itself';

CREATE OR REPLACE FUNCTION engine.note_stale_hours(p_promised_before timestamptz)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT $$;
COMMENT ON FUNCTION engine.note_stale_hours(timestamptz) IS
    'Notes the device hours of staged readings that were rolled up before the readings came';

-- New readings add to their buckets; what is changed or deleted is counted anew from history. Buckets are written in key
-- order, hours before days, so that concurrent writers wait for each other, never in a ring. The triggers act as the owner:
-- the service may add to history, to rollups only by that.

CREATE OR REPLACE FUNCTION engine.roll_up_meter_rows()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.meter_telemetry_hourly AS b (bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage)
    SELECT date_bin('1 hour', n.ts, 'epoch') AS bucket, n.meter_id, count(*), sum(n.kwh_consumed_ac), min(n.voltage), max(n.voltage), sum(n.voltage)
    FROM new_rows AS n
    GROUP BY 1, 2
    ORDER BY 2, 1
    ON CONFLICT (meter_id, bucket) DO UPDATE SET
        readings_count = b.readings_count + excluded.readings_count,
        total_kwh_consumed_ac = b.total_kwh_consumed_ac + excluded.total_kwh_consumed_ac,
        min_voltage = least(b.min_voltage, excluded.min_voltage),
        max_voltage = greatest(b.max_voltage, excluded.max_voltage),
        sum_voltage = b.sum_voltage + excluded.sum_voltage;
    INSERT INTO public.meter_telemetry_daily AS b (bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage)
    SELECT date_bin('1 day', n.ts, 'epoch') AS bucket, n.meter_id, count(*), sum(n.kwh_consumed_ac), min(n.voltage), max(n.voltage), sum(n.voltage)
    FROM new_rows AS n
    GROUP BY 1, 2
    ORDER BY 2, 1
    ON CONFLICT (meter_id, bucket) DO UPDATE SET
        readings_count = b.readings_count + excluded.readings_count,
        total_kwh_consumed_ac = b.total_kwh_consumed_ac + excluded.total_kwh_consumed_ac,
        min_voltage = least(b.min_voltage, excluded.min_voltage),
        max_voltage = greatest(b.max_voltage, excluded.max_voltage),
        sum_voltage = b.sum_voltage + excluded.sum_voltage;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.roll_up_meter_rows() IS 'Trigger: adds new meter readings to their hourly and daily rollups';

CREATE OR REPLACE FUNCTION engine.recount_meter_rows()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_history_from timestamptz := (SELECT h.meter_history_from FROM engine.horizon AS h);
    v_bucket record;
BEGIN
    -- What retention drops stays in the rollups.
    FOR v_bucket IN
        SELECT DISTINCT o.meter_id, date_bin('1 hour', o.ts, 'epoch') AS hour, date_bin('1 day', o.ts, 'epoch') AS day
        FROM changed_rows AS o
        WHERE o.ts >= v_history_from
        ORDER BY 1, 2
    LOOP
        DELETE FROM public.meter_telemetry_hourly AS b WHERE b.meter_id = v_bucket.meter_id AND b.bucket = v_bucket.hour;
        INSERT INTO public.meter_telemetry_hourly (bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage)
        SELECT v_bucket.hour, n.meter_id, count(*), sum(n.kwh_consumed_ac), min(n.voltage), max(n.voltage), sum(n.voltage)
        FROM public.meter_telemetry_history AS n
        WHERE n.meter_id = v_bucket.meter_id AND n.ts >= v_bucket.hour AND n.ts < v_bucket.hour + interval '1 hour'
        GROUP BY n.meter_id;
        DELETE FROM public.meter_telemetry_daily AS b WHERE b.meter_id = v_bucket.meter_id AND b.bucket = v_bucket.day;
        INSERT INTO public.meter_telemetry_daily (bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage)
        SELECT v_bucket.day, h.meter_id, sum(h.readings_count), sum(h.total_kwh_consumed_ac), min(h.min_voltage), max(h.max_voltage), sum(h.sum_voltage)
        FROM public.meter_telemetry_hourly AS h
        WHERE h.meter_id = v_bucket.meter_id AND h.bucket >= v_bucket.day AND h.bucket < v_bucket.day + interval '1 day'
        GROUP BY h.meter_id;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.recount_meter_rows() IS
    'Trigger: counts the hours and days of changed or deleted meter readings anew';

CREATE OR REPLACE FUNCTION engine.empty_meter_rollups()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    TRUNCATE public.meter_telemetry_hourly, public.meter_telemetry_daily;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.empty_meter_rollups() IS 'Trigger: a truncated meter history leaves nothing to roll up';

CREATE OR REPLACE TRIGGER empty_rollups
AFTER TRUNCATE ON public.meter_telemetry_history
FOR EACH STATEMENT EXECUTE FUNCTION engine.empty_meter_rollups();
CREATE OR REPLACE TRIGGER roll_up_rows
AFTER INSERT ON public.meter_telemetry_history
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.roll_up_meter_rows();
CREATE OR REPLACE TRIGGER recount_deleted_rows
AFTER DELETE ON public.meter_telemetry_history
REFERENCING OLD TABLE AS changed_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_meter_rows();
CREATE OR REPLACE TRIGGER recount_rows_before_change
AFTER UPDATE ON public.meter_telemetry_history
REFERENCING OLD TABLE AS changed_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_meter_rows();
CREATE OR REPLACE TRIGGER recount_rows_after_change
AFTER UPDATE ON public.meter_telemetry_history
REFERENCING NEW TABLE AS changed_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_meter_rows();

CREATE OR REPLACE FUNCTION engine.roll_up_vehicle_rows()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.vehicle_telemetry_hourly AS b (bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, min_battery_temp, max_battery_temp, sum_battery_temp)
    SELECT date_bin('1 hour', n.ts, 'epoch') AS bucket, n.vehicle_id, count(*), sum(n.kwh_delivered_dc), min(n.soc), max(n.soc), sum(n.soc), min(n.battery_temp), max(n.battery_temp), sum(n.battery_temp)
    FROM new_rows AS n
    GROUP BY 1, 2
    ORDER BY 2, 1
    ON CONFLICT (vehicle_id, bucket) DO UPDATE SET
        readings_count = b.readings_count + excluded.readings_count,
        total_kwh_delivered_dc = b.total_kwh_delivered_dc + excluded.total_kwh_delivered_dc,
        min_soc = least(b.min_soc, excluded.min_soc),
        max_soc = greatest(b.max_soc, excluded.max_soc),
        sum_soc = b.sum_soc + excluded.sum_soc,
        min_battery_temp = least(b.min_battery_temp, excluded.min_battery_temp),
        max_battery_temp = greatest(b.max_battery_temp, excluded.max_battery_temp),
        sum_battery_temp = b.sum_battery_temp + excluded.sum_battery_temp;
    INSERT INTO public.vehicle_telemetry_daily AS b (bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, min_battery_temp, max_battery_temp, sum_battery_temp)
    SELECT date_bin('1 day', n.ts, 'epoch') AS bucket, n.vehicle_id, count(*), sum(n.kwh_delivered_dc), min(n.soc), max(n.soc), sum(n.soc), min(n.battery_temp), max(n.battery_temp), sum(n.battery_temp)
    FROM new_rows AS n
    GROUP BY 1, 2
    ORDER BY 2, 1
    ON CONFLICT (vehicle_id, bucket) DO UPDATE SET
        readings_count = b.readings_count + excluded.readings_count,
        total_kwh_delivered_dc = b.total_kwh_delivered_dc + excluded.total_kwh_delivered_dc,
        min_soc = least(b.min_soc, excluded.min_soc),
        max_soc = greatest(b.max_soc, excluded.max_soc),
        sum_soc = b.sum_soc + excluded.sum_soc,
        min_battery_temp = least(b.min_battery_temp, excluded.min_battery_temp),
        max_battery_temp = greatest(b.max_battery_temp, excluded.max_battery_temp),
        sum_battery_temp = b.sum_battery_temp + excluded.sum_battery_temp;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.roll_up_vehicle_rows() IS 'Trigger: adds new vehicle readings to their hourly and daily rollups';

CREATE OR REPLACE FUNCTION engine.recount_vehicle_rows()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_history_from timestamptz := (SELECT h.vehicle_history_from FROM engine.horizon AS h);
    v_bucket record;
BEGIN
    -- What retention drops stays in the rollups.
    FOR v_bucket IN
        SELECT DISTINCT o.vehicle_id, date_bin('1 hour', o.ts, 'epoch') AS hour, date_bin('1 day', o.ts, 'epoch') AS day
        FROM changed_rows AS o
        WHERE o.ts >= v_history_from
        ORDER BY 1, 2
    LOOP
        DELETE FROM public.vehicle_telemetry_hourly AS b WHERE b.vehicle_id = v_bucket.vehicle_id AND b.bucket = v_bucket.hour;
        INSERT INTO public.vehicle_telemetry_hourly (bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, min_battery_temp, max_battery_temp, sum_battery_temp)
        SELECT v_bucket.hour, n.vehicle_id, count(*), sum(n.kwh_delivered_dc), min(n.soc), max(n.soc), sum(n.soc), min(n.battery_temp), max(n.battery_temp), sum(n.battery_temp)
        FROM public.vehicle_telemetry_history AS n
        WHERE n.vehicle_id = v_bucket.vehicle_id AND n.ts >= v_bucket.hour AND n.ts < v_bucket.hour + interval '1 hour'
        GROUP BY n.vehicle_id;
        DELETE FROM public.vehicle_telemetry_daily AS b WHERE b.vehicle_id = v_bucket.vehicle_id AND b.bucket = v_bucket.day;
        INSERT INTO public.vehicle_telemetry_daily (bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, min_battery_temp, max_battery_temp, sum_battery_temp)
        SELECT v_bucket.day, h.vehicle_id, sum(h.readings_count), sum(h.total_kwh_delivered_dc), min(h.min_soc), max(h.max_soc), sum(h.sum_soc), min(h.min_battery_temp), max(h.max_battery_temp), sum(h.sum_battery_temp)
        FROM public.vehicle_telemetry_hourly AS h
        WHERE h.vehicle_id = v_bucket.vehicle_id AND h.bucket >= v_bucket.day AND h.bucket < v_bucket.day + interval '1 day'
        GROUP BY h.vehicle_id;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.recount_vehicle_rows() IS
    'Trigger: counts the hours and days of changed or deleted vehicle readings anew';

CREATE OR REPLACE FUNCTION engine.empty_vehicle_rollups()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    TRUNCATE public.vehicle_telemetry_hourly, public.vehicle_telemetry_daily;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.empty_vehicle_rollups() IS 'Trigger: a truncated vehicle history leaves nothing to roll up';

CREATE OR REPLACE TRIGGER empty_rollups
AFTER TRUNCATE ON public.vehicle_telemetry_history
FOR EACH STATEMENT EXECUTE FUNCTION engine.empty_vehicle_rollups();
CREATE OR REPLACE TRIGGER roll_up_rows
AFTER INSERT ON public.vehicle_telemetry_history
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.roll_up_vehicle_rows();
CREATE OR REPLACE TRIGGER recount_deleted_rows
AFTER DELETE ON public.vehicle_telemetry_history
REFERENCING OLD TABLE AS changed_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_vehicle_rows();
CREATE OR REPLACE TRIGGER recount_rows_before_change
AFTER UPDATE ON public.vehicle_telemetry_history
REFERENCING OLD TABLE AS changed_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_vehicle_rows();
CREATE OR REPLACE TRIGGER recount_rows_after_change
AFTER UPDATE ON public.vehicle_telemetry_history
REFERENCING NEW TABLE AS changed_rows
FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_vehicle_rows();

CREATE OR REPLACE PROCEDURE engine.refresh_rollups(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN;
END
$$;
COMMENT ON PROCEDURE engine.refresh_rollups(integer, jsonb) IS
    'Nothing to do in this edition: the triggers leave the rollups exact';

-- History goes by whole days, so that what is left of an hour or a day can always be counted anew. Readings older than
-- history_from are refused from before anything goes, and their deletion leaves the rollups alone. The two steps act as the
-- owner, so that the service can have them done and delete nothing else.
CREATE OR REPLACE FUNCTION engine.advance_history()
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE engine.horizon SET
        meter_history_from = greatest(meter_history_from, date_bin('1 day', now() - engine.keep_interval('meter_telemetry_history'), 'epoch')),
        vehicle_history_from = greatest(vehicle_history_from, date_bin('1 day', now() - engine.keep_interval('vehicle_telemetry_history'), 'epoch'))
$$;
COMMENT ON FUNCTION engine.advance_history() IS
    'Moves the start of the history to what engine.retention keeps: older readings are refused from then on';

CREATE OR REPLACE FUNCTION engine.delete_expired()
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM public.meter_telemetry_history WHERE ts < (SELECT meter_history_from FROM engine.horizon);
    DELETE FROM public.vehicle_telemetry_history WHERE ts < (SELECT vehicle_history_from FROM engine.horizon);
    DELETE FROM public.meter_telemetry_hourly WHERE bucket < now() - engine.keep_interval('meter_telemetry_hourly');
    DELETE FROM public.vehicle_telemetry_hourly WHERE bucket < now() - engine.keep_interval('vehicle_telemetry_hourly');
    DELETE FROM public.meter_telemetry_daily WHERE bucket < now() - engine.keep_interval('meter_telemetry_daily');
    DELETE FROM public.vehicle_telemetry_daily WHERE bucket < now() - engine.keep_interval('vehicle_telemetry_daily');
$$;
COMMENT ON FUNCTION engine.delete_expired() IS
    'Deletes history before its start, and rollups that engine.retention no longer keeps';

CREATE OR REPLACE PROCEDURE engine.apply_retention(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_lock('engine.retention'::regclass::oid::integer, 0);
    PERFORM engine.advance_history();
    COMMIT;
    PERFORM engine.await_writers();
    COMMIT;
    PERFORM engine.delete_expired();
    COMMIT;
    PERFORM pg_advisory_unlock('engine.retention'::regclass::oid::integer, 0);
END
$$;
COMMENT ON PROCEDURE engine.apply_retention(integer, jsonb) IS
    'Job: deletes what engine.retention no longer keeps; run by engine.run_upkeep';

CREATE OR REPLACE FUNCTION engine.note_upkeep_failure(p_error text)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE engine.upkeep AS u SET error = p_error WHERE u.job = 'apply_retention'
$$;
COMMENT ON FUNCTION engine.note_upkeep_failure(text) IS
    'Notes why engine.run_upkeep failed, where the database keeps no such record itself';

-- The record is committed before the work: a run whose connection ends half-way is known by the end that is missing.
CREATE OR REPLACE PROCEDURE engine.run_upkeep()
LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT pg_catalog.pg_try_advisory_lock('engine.retention'::regclass::oid::integer, 0) THEN
        RETURN;
    END IF;
    INSERT INTO engine.upkeep AS u (job, started_at) VALUES ('apply_retention', pg_catalog.clock_timestamp())
    ON CONFLICT (job) DO UPDATE SET
        started_at = excluded.started_at,
        runs = u.runs + 1;
    COMMIT;
    CALL engine.apply_retention();
    UPDATE engine.upkeep SET finished_at = pg_catalog.clock_timestamp(), successes = successes + 1
    WHERE job = 'apply_retention';
    COMMIT;
    PERFORM pg_catalog.pg_advisory_unlock('engine.retention'::regclass::oid::integer, 0);
END
$$;
COMMENT ON PROCEDURE engine.run_upkeep() IS
    'What the service calls every hour: retention, by one process at a time';
