-- Energy by six hours, made from hours: a fleet's day is nine rows a device in place of 24.
-- depends: 0006.period_cuts

CREATE MATERIALIZED VIEW engine.meter_6hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT public.time_bucket(INTERVAL '6 hours', bucket) AS bucket, meter_id, sum(total_kwh_consumed_ac) AS total_kwh_consumed_ac
FROM public.meter_telemetry_hourly
GROUP BY 1, 2
WITH NO DATA;
ALTER MATERIALIZED VIEW engine.meter_6hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('engine.meter_6hourly', after => INTERVAL '30 days');

CREATE MATERIALIZED VIEW engine.vehicle_6hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT public.time_bucket(INTERVAL '6 hours', bucket) AS bucket, vehicle_id, sum(total_kwh_delivered_dc) AS total_kwh_delivered_dc
FROM public.vehicle_telemetry_hourly
GROUP BY 1, 2
WITH NO DATA;
ALTER MATERIALIZED VIEW engine.vehicle_6hourly SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'vehicle_id', timescaledb.orderby = 'bucket');
CALL public.add_columnstore_policy('engine.vehicle_6hourly', after => INTERVAL '30 days');

-- The hours that are rolled up fill it; the refresh goes on from there.
DO $$
DECLARE
    v_stream record;
BEGIN
    FOR v_stream IN
        SELECT
            date_bin('6 hours', h.rolled_up_before, 'epoch') AS until, s.device, s.energy,
            max(format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name)) FILTER (WHERE a.view_name = h.stream || '_telemetry_hourly') AS hours,
            max(format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name)) FILTER (WHERE a.view_name = h.stream || '_6hourly') AS six_hours
        FROM engine.horizon AS h
        JOIN (VALUES ('meter', 'meter_id', 'total_kwh_consumed_ac'), ('vehicle', 'vehicle_id', 'total_kwh_delivered_dc')) AS s (stream, device, energy) USING (stream)
        CROSS JOIN timescaledb_information.continuous_aggregates AS a
        GROUP BY h.stream, h.rolled_up_before, s.device, s.energy
    LOOP
        EXECUTE format(
            'INSERT INTO %s (bucket, %I, %I) SELECT date_bin(''6 hours'', bucket, ''epoch''), %2$I, sum(%3$I) FROM %s WHERE bucket < $1 GROUP BY 1, 2',
            v_stream.six_hours, v_stream.device, v_stream.energy, v_stream.hours
        ) USING v_stream.until;
    END LOOP;
END
$$;

COMMENT ON VIEW engine.meter_6hourly IS 'Energy of each meter by six hours, as far as whole six hours are rolled up; what fleet answers sum a day from';
COMMENT ON COLUMN engine.meter_6hourly.bucket IS 'Start of the six hours (UTC)';
COMMENT ON COLUMN engine.meter_6hourly.meter_id IS 'Meter id';
COMMENT ON COLUMN engine.meter_6hourly.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON VIEW engine.vehicle_6hourly IS 'Energy of each vehicle by six hours, as far as whole six hours are rolled up; what fleet answers sum a day from';
COMMENT ON COLUMN engine.vehicle_6hourly.bucket IS 'Start of the six hours (UTC)';
COMMENT ON COLUMN engine.vehicle_6hourly.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN engine.vehicle_6hourly.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
