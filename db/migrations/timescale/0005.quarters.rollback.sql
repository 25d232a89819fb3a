ALTER MATERIALIZED VIEW public.vehicle_telemetry_daily RENAME TO earlier_vehicle_telemetry_daily;
ALTER MATERIALIZED VIEW public.vehicle_telemetry_hourly RENAME TO earlier_vehicle_telemetry_hourly;
ALTER MATERIALIZED VIEW public.meter_telemetry_daily RENAME TO earlier_meter_telemetry_daily;
ALTER MATERIALIZED VIEW public.meter_telemetry_hourly RENAME TO earlier_meter_telemetry_hourly;

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

-- What the rollups hold is moved as it is: most of it is older than history and cannot be made again.
DO $$
DECLARE
    v_view text;
    v_from regclass;
    v_to regclass;
BEGIN
    FOREACH v_view IN ARRAY ARRAY['meter_telemetry_hourly', 'meter_telemetry_daily', 'vehicle_telemetry_hourly', 'vehicle_telemetry_daily'] LOOP
        SELECT
            max(format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)) FILTER (WHERE c.view_name = 'earlier_' || v_view),
            max(format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)) FILTER (WHERE c.view_name = v_view)
        INTO v_from, v_to
        FROM timescaledb_information.continuous_aggregates AS c
        WHERE c.view_schema = 'public';
        EXECUTE format('INSERT INTO %s SELECT * FROM %s', v_to, v_from);
        -- Dropping chunks, if only none, has TimescaleDB look how far the view is materialized now.
        PERFORM public.drop_chunks(format('public.%I', v_view)::regclass, older_than => timestamptz '1900-01-01');
    END LOOP;
END
$$;
DROP MATERIALIZED VIEW public.earlier_vehicle_telemetry_daily;
DROP MATERIALIZED VIEW public.earlier_vehicle_telemetry_hourly;
DROP MATERIALIZED VIEW public.vehicle_telemetry_15min;
DROP MATERIALIZED VIEW public.earlier_meter_telemetry_daily;
DROP MATERIALIZED VIEW public.earlier_meter_telemetry_hourly;
DROP MATERIALIZED VIEW public.meter_telemetry_15min;

-- Late rows reach a rollup for as long as history is kept; columnstore chunks accept them too.
ALTER MATERIALIZED VIEW public.meter_telemetry_hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW public.meter_telemetry_daily SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW public.vehicle_telemetry_hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW public.vehicle_telemetry_daily SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('public.meter_telemetry_hourly', after => INTERVAL '30 days');
CALL public.add_columnstore_policy('public.meter_telemetry_daily', after => INTERVAL '1 year');
CALL public.add_columnstore_policy('public.vehicle_telemetry_hourly', after => INTERVAL '30 days');
CALL public.add_columnstore_policy('public.vehicle_telemetry_daily', after => INTERVAL '1 year');

DELETE FROM engine.retention WHERE relation LIKE '%\_telemetry\_15min';
COMMENT ON VIEW public.meter_telemetry_hourly IS 'Meter readings by the hour';
COMMENT ON VIEW public.meter_telemetry_daily IS 'Meter readings by the day (UTC)';
COMMENT ON VIEW public.vehicle_telemetry_hourly IS 'Vehicle readings by the hour';
COMMENT ON VIEW public.vehicle_telemetry_daily IS 'Vehicle readings by the day (UTC)';
