-- Rollups: hourly from history, daily from hourly. The refresh job (functions/timescale/upkeep.sql) alone moves them.
-- depends: 0002.history

CREATE MATERIALIZED VIEW public.meter_telemetry_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '1 hour', ts) AS bucket,
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

CREATE MATERIALIZED VIEW public.vehicle_telemetry_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT
    public.time_bucket(INTERVAL '1 hour', ts) AS bucket,
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

-- Late rows reach a rollup for as long as history is kept; columnstore chunks accept them too.
ALTER MATERIALIZED VIEW public.meter_telemetry_hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW public.meter_telemetry_daily SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW public.vehicle_telemetry_hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW public.vehicle_telemetry_daily SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.meter_telemetry_hourly', after => INTERVAL '30 days');
CALL public.add_columnstore_policy('public.meter_telemetry_daily', after => INTERVAL '1 year');
CALL public.add_columnstore_policy('public.vehicle_telemetry_hourly', after => INTERVAL '30 days');
CALL public.add_columnstore_policy('public.vehicle_telemetry_daily', after => INTERVAL '1 year');

-- Nothing is rolled up yet: the first run of the refresh job moves the horizon.
INSERT INTO engine.horizon (rolled_up_before) VALUES ('-infinity');

COMMENT ON VIEW public.meter_telemetry_hourly IS 'Meter readings by the hour';
COMMENT ON VIEW public.meter_telemetry_daily IS 'Meter readings by the day (UTC)';
COMMENT ON VIEW public.vehicle_telemetry_hourly IS 'Vehicle readings by the hour';
COMMENT ON VIEW public.vehicle_telemetry_daily IS 'Vehicle readings by the day (UTC)';
