-- A horizon for each stream, and marks of stale hours that no writer waits for.
-- depends: 0003.rollups

-- Functions are applied again after every migration; none of the earlier release stands in the way of what changes here.
DO $$
DECLARE
    v_routine text;
BEGIN
    FOREACH v_routine IN ARRAY ARRAY(
        SELECT p.oid::regprocedure::text FROM pg_proc AS p
        WHERE p.pronamespace = 'engine'::regnamespace
            AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    ) LOOP
        EXECUTE 'DROP ROUTINE IF EXISTS ' || v_routine || ' CASCADE';
    END LOOP;
END
$$;
DROP FUNCTION IF EXISTS public.whole_hours(timestamptz, timestamptz);

-- Invariant: a reading with ts < rolled_up_before is in its stream's rollups or its (device, hour) is in engine.stale_hour, in
-- every snapshot. So a refresh promises first and is believed last: it commits late_before, from where writers mark stale
-- hours; waits for those who did not see that (they hold engine.lock_horizon() in share mode until commit;
-- engine.await_writers); refreshes; and only then moves rolled_up_before, which answers go by. A DELETE or TRUNCATE past the
-- engine, whose rows no trigger sees, puts rolled_up_before back to where history starts.
CREATE TABLE engine.stream_horizon (
    stream text PRIMARY KEY CHECK (stream IN ('meter', 'vehicle')),
    accepted_from timestamptz NOT NULL DEFAULT '-infinity',
    history_from timestamptz NOT NULL DEFAULT '-infinity',
    quarters_from timestamptz NOT NULL DEFAULT '-infinity',
    late_before timestamptz NOT NULL DEFAULT '-infinity',
    rolled_up_before timestamptz NOT NULL,
    deletions bigint NOT NULL DEFAULT 0
);
INSERT INTO engine.stream_horizon (stream, accepted_from, history_from, quarters_from, late_before, rolled_up_before)
SELECT s.stream, s.history_from, s.history_from, l.rolled_up_before, h.promised_before, l.rolled_up_before
FROM engine.horizon AS h
CROSS JOIN LATERAL (VALUES ('meter', h.meter_history_from), ('vehicle', h.vehicle_history_from)) AS s (stream, history_from)
CROSS JOIN LATERAL (SELECT CASE WHEN h.trusted THEN h.rolled_up_before ELSE s.history_from END AS rolled_up_before) AS l;
DROP TABLE engine.horizon;
ALTER TABLE engine.stream_horizon RENAME TO horizon;
ALTER TABLE engine.horizon RENAME CONSTRAINT stream_horizon_pkey TO horizon_pkey;
ALTER TABLE engine.horizon RENAME CONSTRAINT stream_horizon_stream_check TO horizon_stream_check;
COMMENT ON TABLE engine.horizon IS 'The limits of each stream between dropped, rolled-up and raw history';
COMMENT ON COLUMN engine.horizon.stream IS 'meter or vehicle';
COMMENT ON COLUMN engine.horizon.accepted_from IS 'Readings older than this are refused: their history has been dropped or is about to be';
COMMENT ON COLUMN engine.horizon.history_from IS 'History before this time has been dropped: of what is older, rollups are all there is';
COMMENT ON COLUMN engine.horizon.quarters_from IS '15-minute rollups are complete from this time on, as far as they are kept';
COMMENT ON COLUMN engine.horizon.late_before IS 'Readings older than this are late: their hours have been rolled up or are about to be';
COMMENT ON COLUMN engine.horizon.rolled_up_before IS 'What is older is answered from rollups, what is later from raw history';
COMMENT ON COLUMN engine.horizon.deletions IS 'Number of statements past the engine that deleted history; a refresh that sees it change does not move rolled_up_before';

-- A mark is only ever added by writers: two of one device hour do no harm, and none waits for another's commit.
ALTER TABLE engine.stale_hour DROP CONSTRAINT stale_hour_pkey;
CREATE INDEX stale_hour_device ON engine.stale_hour (stream, device_id, bucket);
UPDATE engine.stale_hour SET claimed = false WHERE claimed;
COMMENT ON TABLE engine.stale_hour IS 'Device hours whose history changed after they were rolled up: answers read them from raw history until a refresh has caught up; an hour may be marked more than once';
COMMENT ON COLUMN engine.stale_hour.claimed IS 'A refresh is under way, which need not see what is written from now on: whoever changes the hour again marks it again';

CREATE TYPE engine.meter_sums AS (
    device_id text, bucket timestamptz, readings_count bigint,
    sum_voltage numeric, min_voltage numeric, max_voltage numeric, kwh numeric
);
COMMENT ON TYPE engine.meter_sums IS 'Sums of meter readings: of a device or of a bucket of time, readings, voltage in V, AC energy in kWh';
CREATE TYPE engine.vehicle_sums AS (
    device_id text, bucket timestamptz, readings_count bigint,
    sum_soc numeric, sum_battery_temp numeric, min_soc numeric, min_battery_temp numeric,
    max_soc numeric, max_battery_temp numeric, kwh numeric
);
COMMENT ON TYPE engine.vehicle_sums IS 'Sums of vehicle readings: of a device or of a bucket of time, readings, state of charge in percent, battery temperature in °C, DC energy in kWh';
