-- A voltage, state of charge or battery temperature that a device does not know is null, and part of no mean.
-- depends: 0010.mapping

ALTER TABLE public.meter_telemetry_history ALTER voltage DROP NOT NULL;
ALTER TABLE public.vehicle_telemetry_history ALTER soc DROP NOT NULL, ALTER battery_temp DROP NOT NULL;
ALTER TABLE engine.meter_state ALTER voltage DROP NOT NULL;
ALTER TABLE engine.vehicle_state ALTER soc DROP NOT NULL, ALTER battery_temp DROP NOT NULL;
ALTER TYPE engine.meter_sums ADD ATTRIBUTE count_voltage bigint;
ALTER TYPE engine.vehicle_sums ADD ATTRIBUTE count_soc bigint, ADD ATTRIBUTE count_battery_temp bigint;

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
    count(voltage) AS count_voltage,
    sum(voltage) / nullif(count(voltage), 0) AS avg_voltage
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
    sum(count_voltage)::bigint AS count_voltage,
    sum(sum_voltage) / nullif(sum(count_voltage), 0) AS avg_voltage
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
    sum(count_voltage)::bigint AS count_voltage,
    sum(sum_voltage) / nullif(sum(count_voltage), 0) AS avg_voltage
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
    count(soc) AS count_soc,
    sum(soc) / nullif(count(soc), 0) AS avg_soc,
    min(battery_temp)::numeric AS min_battery_temp,
    max(battery_temp)::numeric AS max_battery_temp,
    sum(battery_temp) AS sum_battery_temp,
    count(battery_temp) AS count_battery_temp,
    sum(battery_temp) / nullif(count(battery_temp), 0) AS avg_battery_temp
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
    sum(count_soc)::bigint AS count_soc,
    sum(sum_soc) / nullif(sum(count_soc), 0) AS avg_soc,
    min(min_battery_temp) AS min_battery_temp,
    max(max_battery_temp) AS max_battery_temp,
    sum(sum_battery_temp) AS sum_battery_temp,
    sum(count_battery_temp)::bigint AS count_battery_temp,
    sum(sum_battery_temp) / nullif(sum(count_battery_temp), 0) AS avg_battery_temp
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
    sum(count_soc)::bigint AS count_soc,
    sum(sum_soc) / nullif(sum(count_soc), 0) AS avg_soc,
    min(min_battery_temp) AS min_battery_temp,
    max(max_battery_temp) AS max_battery_temp,
    sum(sum_battery_temp) AS sum_battery_temp,
    sum(count_battery_temp)::bigint AS count_battery_temp,
    sum(sum_battery_temp) / nullif(sum(count_battery_temp), 0) AS avg_battery_temp
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
            ('public', 'meter_telemetry_15min', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, count_voltage, avg_voltage', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, readings_count, avg_voltage'),
            ('public', 'meter_telemetry_hourly', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, count_voltage, avg_voltage', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, readings_count, avg_voltage'),
            ('public', 'meter_telemetry_daily', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, count_voltage, avg_voltage', 'bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage, readings_count, avg_voltage'),
            ('engine', 'meter_6hourly', 'bucket, meter_id, total_kwh_consumed_ac', 'bucket, meter_id, total_kwh_consumed_ac'),
            ('public', 'vehicle_telemetry_15min', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, count_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, count_battery_temp, avg_battery_temp', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, readings_count, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, readings_count, avg_battery_temp'),
            ('public', 'vehicle_telemetry_hourly', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, count_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, count_battery_temp, avg_battery_temp', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, readings_count, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, readings_count, avg_battery_temp'),
            ('public', 'vehicle_telemetry_daily', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, count_soc, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, count_battery_temp, avg_battery_temp', 'bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, readings_count, avg_soc, min_battery_temp, max_battery_temp, sum_battery_temp, readings_count, avg_battery_temp'),
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
COMMENT ON COLUMN public.meter_telemetry_15min.bucket IS 'Start of the quarter of an hour (UTC)';
COMMENT ON COLUMN public.meter_telemetry_15min.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_15min.readings_count IS 'Number of readings; 15 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_15min.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_15min.min_voltage IS 'Lowest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_15min.max_voltage IS 'Highest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_15min.sum_voltage IS 'Sum of the known values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_15min.count_voltage IS 'Number of readings whose voltage is known';
COMMENT ON COLUMN public.meter_telemetry_15min.avg_voltage IS 'Mean of the known values (voltage in V); null where none is known';

COMMENT ON VIEW public.meter_telemetry_hourly IS 'Meter readings by the hour';
COMMENT ON COLUMN public.meter_telemetry_hourly.bucket IS 'Start of the hour (UTC)';
COMMENT ON COLUMN public.meter_telemetry_hourly.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_hourly.readings_count IS 'Number of readings; 60 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_hourly.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_hourly.min_voltage IS 'Lowest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_hourly.max_voltage IS 'Highest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_hourly.sum_voltage IS 'Sum of the known values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_hourly.count_voltage IS 'Number of readings whose voltage is known';
COMMENT ON COLUMN public.meter_telemetry_hourly.avg_voltage IS 'Mean of the known values (voltage in V); null where none is known';

COMMENT ON VIEW public.meter_telemetry_daily IS 'Meter readings by the day (UTC)';
COMMENT ON COLUMN public.meter_telemetry_daily.bucket IS 'Start of the day (UTC)';
COMMENT ON COLUMN public.meter_telemetry_daily.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_daily.readings_count IS 'Number of readings; 1,440 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_daily.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_daily.min_voltage IS 'Lowest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_daily.max_voltage IS 'Highest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_daily.sum_voltage IS 'Sum of the known values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_daily.count_voltage IS 'Number of readings whose voltage is known';
COMMENT ON COLUMN public.meter_telemetry_daily.avg_voltage IS 'Mean of the known values (voltage in V); null where none is known';

COMMENT ON VIEW public.vehicle_telemetry_15min IS 'Vehicle readings by the quarter of an hour';
COMMENT ON COLUMN public.vehicle_telemetry_15min.bucket IS 'Start of the quarter of an hour (UTC)';
COMMENT ON COLUMN public.vehicle_telemetry_15min.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_telemetry_15min.readings_count IS 'Number of readings; 15 when none is missing';
COMMENT ON COLUMN public.vehicle_telemetry_15min.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
COMMENT ON COLUMN public.vehicle_telemetry_15min.min_soc IS 'Lowest state of charge in percent; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_15min.max_soc IS 'Highest state of charge in percent; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_15min.sum_soc IS 'Sum of the known values (state of charge in percent), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_15min.count_soc IS 'Number of readings whose state of charge is known';
COMMENT ON COLUMN public.vehicle_telemetry_15min.avg_soc IS 'Mean of the known values (state of charge in percent); null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_15min.min_battery_temp IS 'Lowest battery temperature in °C; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_15min.max_battery_temp IS 'Highest battery temperature in °C; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_15min.sum_battery_temp IS 'Sum of the known values (battery temperature in °C), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_15min.count_battery_temp IS 'Number of readings whose battery temperature is known';
COMMENT ON COLUMN public.vehicle_telemetry_15min.avg_battery_temp IS 'Mean of the known values (battery temperature in °C); null where none is known';

COMMENT ON VIEW public.vehicle_telemetry_hourly IS 'Vehicle readings by the hour';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.bucket IS 'Start of the hour (UTC)';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.readings_count IS 'Number of readings; 60 when none is missing';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.min_soc IS 'Lowest state of charge in percent; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.max_soc IS 'Highest state of charge in percent; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.sum_soc IS 'Sum of the known values (state of charge in percent), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.count_soc IS 'Number of readings whose state of charge is known';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.avg_soc IS 'Mean of the known values (state of charge in percent); null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.min_battery_temp IS 'Lowest battery temperature in °C; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.max_battery_temp IS 'Highest battery temperature in °C; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.sum_battery_temp IS 'Sum of the known values (battery temperature in °C), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.count_battery_temp IS 'Number of readings whose battery temperature is known';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.avg_battery_temp IS 'Mean of the known values (battery temperature in °C); null where none is known';

COMMENT ON VIEW public.vehicle_telemetry_daily IS 'Vehicle readings by the day (UTC)';
COMMENT ON COLUMN public.vehicle_telemetry_daily.bucket IS 'Start of the day (UTC)';
COMMENT ON COLUMN public.vehicle_telemetry_daily.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_telemetry_daily.readings_count IS 'Number of readings; 1,440 when none is missing';
COMMENT ON COLUMN public.vehicle_telemetry_daily.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
COMMENT ON COLUMN public.vehicle_telemetry_daily.min_soc IS 'Lowest state of charge in percent; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_daily.max_soc IS 'Highest state of charge in percent; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_daily.sum_soc IS 'Sum of the known values (state of charge in percent), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_daily.count_soc IS 'Number of readings whose state of charge is known';
COMMENT ON COLUMN public.vehicle_telemetry_daily.avg_soc IS 'Mean of the known values (state of charge in percent); null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_daily.min_battery_temp IS 'Lowest battery temperature in °C; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_daily.max_battery_temp IS 'Highest battery temperature in °C; null where none is known';
COMMENT ON COLUMN public.vehicle_telemetry_daily.sum_battery_temp IS 'Sum of the known values (battery temperature in °C), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_daily.count_battery_temp IS 'Number of readings whose battery temperature is known';
COMMENT ON COLUMN public.vehicle_telemetry_daily.avg_battery_temp IS 'Mean of the known values (battery temperature in °C); null where none is known';

COMMENT ON COLUMN public.meter_telemetry_history.voltage IS 'Grid voltage in V; null where the meter does not know it';
COMMENT ON COLUMN public.vehicle_telemetry_history.soc IS 'State of charge in percent; null where the vehicle does not know it';
COMMENT ON COLUMN public.vehicle_telemetry_history.battery_temp IS 'Battery temperature in °C; null where the vehicle does not know it';
COMMENT ON COLUMN engine.meter_state.voltage IS 'Voltage of the latest reading in V; null where the meter does not know it';
COMMENT ON COLUMN engine.vehicle_state.soc IS 'State of charge of the latest reading in percent; null where the vehicle does not know it';
COMMENT ON COLUMN engine.vehicle_state.battery_temp IS 'Battery temperature of the latest reading in °C; null where the vehicle does not know it';
