-- What this release does not know how to hold must go first.
DO $$
BEGIN
    IF EXISTS (SELECT FROM public.meter_telemetry_history AS h WHERE h.voltage IS NULL)
        OR EXISTS (SELECT FROM public.vehicle_telemetry_history AS h WHERE h.soc IS NULL OR h.battery_temp IS NULL)
        OR EXISTS (SELECT FROM engine.meter_state AS s WHERE s.voltage IS NULL)
        OR EXISTS (SELECT FROM engine.vehicle_state AS s WHERE s.soc IS NULL OR s.battery_temp IS NULL) THEN
        RAISE EXCEPTION 'there are readings without a voltage, soc or battery temperature, which the earlier release cannot hold: void them first';
    END IF;
END
$$;
ALTER TABLE public.meter_telemetry_history ALTER voltage SET NOT NULL;
ALTER TABLE public.vehicle_telemetry_history ALTER soc SET NOT NULL;
ALTER TABLE public.vehicle_telemetry_history ALTER battery_temp SET NOT NULL;
ALTER TABLE engine.meter_state ALTER voltage SET NOT NULL;
ALTER TABLE engine.vehicle_state ALTER soc SET NOT NULL, ALTER battery_temp SET NOT NULL;
ALTER TYPE engine.meter_sums DROP ATTRIBUTE count_voltage;
ALTER TYPE engine.vehicle_sums DROP ATTRIBUTE count_soc, DROP ATTRIBUTE count_battery_temp;

-- The functions of this release make these again.
DROP VIEW IF EXISTS engine.meter_reading, engine.meter_15min, engine.meter_hourly, engine.meter_daily, engine.vehicle_reading, engine.vehicle_15min, engine.vehicle_hourly, engine.vehicle_daily CASCADE;

ALTER MATERIALIZED VIEW engine.vehicle_6hourly RENAME TO earlier_vehicle_6hourly;
ALTER MATERIALIZED VIEW public.vehicle_telemetry_daily RENAME TO earlier_vehicle_telemetry_daily;
ALTER MATERIALIZED VIEW public.vehicle_telemetry_hourly RENAME TO earlier_vehicle_telemetry_hourly;
ALTER MATERIALIZED VIEW public.vehicle_telemetry_15min RENAME TO earlier_vehicle_telemetry_15min;
ALTER MATERIALIZED VIEW engine.meter_6hourly RENAME TO earlier_meter_6hourly;
ALTER MATERIALIZED VIEW public.meter_telemetry_daily RENAME TO earlier_meter_telemetry_daily;
ALTER MATERIALIZED VIEW public.meter_telemetry_hourly RENAME TO earlier_meter_telemetry_hourly;
ALTER MATERIALIZED VIEW public.meter_telemetry_15min RENAME TO earlier_meter_telemetry_15min;

CREATE MATERIALIZED VIEW public.meter_telemetry_15min
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '15 minutes', ts) AS bucket,
    meter_id,
    count(*) AS readings_count,
    sum(kwh_consumed_ac) AS total_kwh_consumed_ac,
    min(voltage)::numeric AS min_voltage,
    max(voltage)::numeric AS max_voltage,
    sum(voltage) AS sum_voltage,
    sum(voltage) / count(*) AS avg_voltage
FROM public.meter_telemetry_history
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW public.meter_telemetry_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
    meter_id,
    sum(readings_count)::bigint AS readings_count,
    sum(total_kwh_consumed_ac) AS total_kwh_consumed_ac,
    min(min_voltage) AS min_voltage,
    max(max_voltage) AS max_voltage,
    sum(sum_voltage) AS sum_voltage,
    sum(sum_voltage) / sum(readings_count) AS avg_voltage
FROM public.meter_telemetry_15min
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW public.meter_telemetry_daily
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '1 day', bucket) AS bucket,
    meter_id,
    sum(readings_count)::bigint AS readings_count,
    sum(total_kwh_consumed_ac) AS total_kwh_consumed_ac,
    min(min_voltage) AS min_voltage,
    max(max_voltage) AS max_voltage,
    sum(sum_voltage) AS sum_voltage,
    sum(sum_voltage) / sum(readings_count) AS avg_voltage
FROM public.meter_telemetry_hourly
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW engine.meter_6hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT public.time_bucket(INTERVAL '6 hours', bucket) AS bucket, meter_id, sum(total_kwh_consumed_ac) AS total_kwh_consumed_ac
FROM public.meter_telemetry_hourly
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW public.vehicle_telemetry_15min
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '15 minutes', ts) AS bucket,
    vehicle_id,
    count(*) AS readings_count,
    sum(kwh_delivered_dc) AS total_kwh_delivered_dc,
    min(soc)::numeric AS min_soc,
    max(soc)::numeric AS max_soc,
    sum(soc) AS sum_soc,
    sum(soc) / count(*) AS avg_soc,
    min(battery_temp)::numeric AS min_battery_temp,
    max(battery_temp)::numeric AS max_battery_temp,
    sum(battery_temp) AS sum_battery_temp,
    sum(battery_temp) / count(*) AS avg_battery_temp
FROM public.vehicle_telemetry_history
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW public.vehicle_telemetry_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '1 hour', bucket) AS bucket,
    vehicle_id,
    sum(readings_count)::bigint AS readings_count,
    sum(total_kwh_delivered_dc) AS total_kwh_delivered_dc,
    min(min_soc) AS min_soc,
    max(max_soc) AS max_soc,
    sum(sum_soc) AS sum_soc,
    sum(sum_soc) / sum(readings_count) AS avg_soc,
    min(min_battery_temp) AS min_battery_temp,
    max(max_battery_temp) AS max_battery_temp,
    sum(sum_battery_temp) AS sum_battery_temp,
    sum(sum_battery_temp) / sum(readings_count) AS avg_battery_temp
FROM public.vehicle_telemetry_15min
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW public.vehicle_telemetry_daily
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '1 day', bucket) AS bucket,
    vehicle_id,
    sum(readings_count)::bigint AS readings_count,
    sum(total_kwh_delivered_dc) AS total_kwh_delivered_dc,
    min(min_soc) AS min_soc,
    max(max_soc) AS max_soc,
    sum(sum_soc) AS sum_soc,
    sum(sum_soc) / sum(readings_count) AS avg_soc,
    min(min_battery_temp) AS min_battery_temp,
    max(max_battery_temp) AS max_battery_temp,
    sum(sum_battery_temp) AS sum_battery_temp,
    sum(sum_battery_temp) / sum(readings_count) AS avg_battery_temp
FROM public.vehicle_telemetry_hourly
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW engine.vehicle_6hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT public.time_bucket(INTERVAL '6 hours', bucket) AS bucket, vehicle_id, sum(total_kwh_delivered_dc) AS total_kwh_delivered_dc
FROM public.vehicle_telemetry_hourly
GROUP BY 1, 2
WITH NO DATA;

-- What the earlier rollups hold is moved as it is: most of it is older than history and cannot be made again.
DO $$
DECLARE
    v_rollup record;
BEGIN
    FOR v_rollup IN
        SELECT m.view_schema, m.view_name, m.columns, m.earlier_columns,
            format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name) AS hypertable,
            format('%I.%I', e.materialization_hypertable_schema, e.materialization_hypertable_name) AS earlier
        FROM (VALUES
            ('public', 'meter_telemetry_15min', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, avg_voltage', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, avg_voltage'),
            ('public', 'meter_telemetry_hourly', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, avg_voltage', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, avg_voltage'),
            ('public', 'meter_telemetry_daily', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, avg_voltage', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, avg_voltage'),
            ('engine', 'meter_6hourly', 'bucket, meter_id, total_kwh_consumed_ac', 'bucket, meter_id, total_kwh_consumed_ac'),
            ('public', 'vehicle_telemetry_15min', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, avg_battery_temp', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, avg_battery_temp'),
            ('public', 'vehicle_telemetry_hourly', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, avg_battery_temp', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, avg_battery_temp'),
            ('public', 'vehicle_telemetry_daily', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, avg_battery_temp', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, avg_battery_temp'),
            ('engine', 'vehicle_6hourly', 'bucket, vehicle_id, total_kwh_delivered_dc', 'bucket, vehicle_id, total_kwh_delivered_dc')
        ) AS m (view_schema, view_name, columns, earlier_columns)
        JOIN timescaledb_information.continuous_aggregates AS c ON c.view_schema = m.view_schema AND c.view_name = m.view_name
        JOIN timescaledb_information.continuous_aggregates AS e ON e.view_schema = m.view_schema AND e.view_name = 'earlier_' || m.view_name
    LOOP
        EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM %s', v_rollup.hypertable, v_rollup.columns, v_rollup.earlier_columns, v_rollup.earlier);
        -- Dropping chunks, if only none, has TimescaleDB look how far the view is materialized now.
        PERFORM public.drop_chunks(format('%I.%I', v_rollup.view_schema, v_rollup.view_name)::regclass, older_than => timestamptz '1900-01-01');
    END LOOP;
END
$$;
DROP MATERIALIZED VIEW engine.earlier_meter_6hourly;
DROP MATERIALIZED VIEW public.earlier_meter_telemetry_daily;
DROP MATERIALIZED VIEW public.earlier_meter_telemetry_hourly;
DROP MATERIALIZED VIEW public.earlier_meter_telemetry_15min;
DROP MATERIALIZED VIEW engine.earlier_vehicle_6hourly;
DROP MATERIALIZED VIEW public.earlier_vehicle_telemetry_daily;
DROP MATERIALIZED VIEW public.earlier_vehicle_telemetry_hourly;
DROP MATERIALIZED VIEW public.earlier_vehicle_telemetry_15min;

-- Late rows reach a rollup for as long as history is kept; columnstore chunks accept them too.
ALTER MATERIALIZED VIEW public.meter_telemetry_15min SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.meter_telemetry_15min', after => INTERVAL '7 days');
ALTER MATERIALIZED VIEW public.meter_telemetry_hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.meter_telemetry_hourly', after => INTERVAL '30 days');
ALTER MATERIALIZED VIEW public.meter_telemetry_daily SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.meter_telemetry_daily', after => INTERVAL '1 year');
ALTER MATERIALIZED VIEW engine.meter_6hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('engine.meter_6hourly', after => INTERVAL '30 days');
ALTER MATERIALIZED VIEW public.vehicle_telemetry_15min SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.vehicle_telemetry_15min', after => INTERVAL '7 days');
ALTER MATERIALIZED VIEW public.vehicle_telemetry_hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.vehicle_telemetry_hourly', after => INTERVAL '30 days');
ALTER MATERIALIZED VIEW public.vehicle_telemetry_daily SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.vehicle_telemetry_daily', after => INTERVAL '1 year');
ALTER MATERIALIZED VIEW engine.vehicle_6hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('engine.vehicle_6hourly', after => INTERVAL '30 days');

COMMENT ON VIEW engine.meter_6hourly IS 'Energy of each meter by six hours, as far as whole six hours are rolled up; what fleet answers sum a day from';
COMMENT ON COLUMN engine.meter_6hourly.bucket IS 'Start of the six hours (UTC)';
COMMENT ON COLUMN engine.meter_6hourly.meter_id IS 'Meter id';
COMMENT ON COLUMN engine.meter_6hourly.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON VIEW engine.vehicle_6hourly IS 'Energy of each vehicle by six hours, as far as whole six hours are rolled up; what fleet answers sum a day from';
COMMENT ON COLUMN engine.vehicle_6hourly.bucket IS 'Start of the six hours (UTC)';
COMMENT ON COLUMN engine.vehicle_6hourly.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN engine.vehicle_6hourly.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';

COMMENT ON VIEW public.meter_telemetry_15min IS 'Meter readings by the quarter of an hour';
COMMENT ON VIEW public.meter_telemetry_hourly IS 'Meter readings by the hour';
COMMENT ON VIEW public.meter_telemetry_daily IS 'Meter readings by the day (UTC)';
COMMENT ON VIEW public.vehicle_telemetry_15min IS 'Vehicle readings by the quarter of an hour';
COMMENT ON VIEW public.vehicle_telemetry_hourly IS 'Vehicle readings by the hour';
COMMENT ON VIEW public.vehicle_telemetry_daily IS 'Vehicle readings by the day (UTC)';
