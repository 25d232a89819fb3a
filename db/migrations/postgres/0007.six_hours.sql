-- Energy by six hours, under the name that the timescale edition has a rollup for. No answer reads it here: a fourth rollup
-- would cost every batch more than a small fleet's answers gain by it.
-- depends: 0006.period_cuts

CREATE VIEW engine.meter_6hourly AS
SELECT date_bin('6 hours', bucket, 'epoch') AS bucket, meter_id, sum(total_kwh_consumed_ac) AS total_kwh_consumed_ac
FROM public.meter_telemetry_hourly
GROUP BY 1, 2;
CREATE VIEW engine.vehicle_6hourly AS
SELECT date_bin('6 hours', bucket, 'epoch') AS bucket, vehicle_id, sum(total_kwh_delivered_dc) AS total_kwh_delivered_dc
FROM public.vehicle_telemetry_hourly
GROUP BY 1, 2;

COMMENT ON VIEW engine.meter_6hourly IS 'Energy of each meter by six hours, as far as whole six hours are rolled up; what fleet answers sum a day from';
COMMENT ON COLUMN engine.meter_6hourly.bucket IS 'Start of the six hours (UTC)';
COMMENT ON COLUMN engine.meter_6hourly.meter_id IS 'Meter id';
COMMENT ON COLUMN engine.meter_6hourly.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON VIEW engine.vehicle_6hourly IS 'Energy of each vehicle by six hours, as far as whole six hours are rolled up; what fleet answers sum a day from';
COMMENT ON COLUMN engine.vehicle_6hourly.bucket IS 'Start of the six hours (UTC)';
COMMENT ON COLUMN engine.vehicle_6hourly.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN engine.vehicle_6hourly.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
