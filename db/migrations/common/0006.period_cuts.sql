-- Where a period is cut into the parts that its energy is summed from (functions/common/period.sql).
-- depends: 0005.quarters

-- Panels ask for the period that they show; answers are fast enough for that.
DROP FUNCTION IF EXISTS public.whole_hours(timestamptz, timestamptz);

CREATE TYPE engine.period_cuts AS (
    quarters_from timestamptz, hours_from timestamptz, six_hours_from timestamptz, days_from timestamptz, stale_from timestamptz,
    stale_to timestamptz, days_to timestamptz, six_hours_to timestamptz, hours_to timestamptz, quarters_to timestamptz,
    has_stale_hours boolean
);
COMMENT ON TYPE engine.period_cuts IS 'Cuts of a period in order of time: readings up to the first and from the last, 15 minutes within those, hours within those, then six hours, days within those but for the days from stale_from to stale_to, which are taken by the hour since some of their hours are stale';

COMMENT ON COLUMN public.meter_telemetry_15min.bucket IS 'Start of the quarter of an hour (UTC)';
COMMENT ON COLUMN public.meter_telemetry_15min.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_15min.readings_count IS 'Number of readings; 15 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_15min.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_15min.min_voltage IS 'Lowest voltage in V';
COMMENT ON COLUMN public.meter_telemetry_15min.max_voltage IS 'Highest voltage in V';
COMMENT ON COLUMN public.meter_telemetry_15min.sum_voltage IS 'Sum of the readings'' values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_15min.avg_voltage IS 'Mean voltage in V';

COMMENT ON COLUMN public.meter_telemetry_hourly.bucket IS 'Start of the hour (UTC)';
COMMENT ON COLUMN public.meter_telemetry_hourly.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_hourly.readings_count IS 'Number of readings; 60 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_hourly.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_hourly.min_voltage IS 'Lowest voltage in V';
COMMENT ON COLUMN public.meter_telemetry_hourly.max_voltage IS 'Highest voltage in V';
COMMENT ON COLUMN public.meter_telemetry_hourly.sum_voltage IS 'Sum of the readings'' values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_hourly.avg_voltage IS 'Mean voltage in V';

COMMENT ON COLUMN public.meter_telemetry_daily.bucket IS 'Start of the day (UTC)';
COMMENT ON COLUMN public.meter_telemetry_daily.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_daily.readings_count IS 'Number of readings; 1440 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_daily.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_daily.min_voltage IS 'Lowest voltage in V';
COMMENT ON COLUMN public.meter_telemetry_daily.max_voltage IS 'Highest voltage in V';
COMMENT ON COLUMN public.meter_telemetry_daily.sum_voltage IS 'Sum of the readings'' values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_daily.avg_voltage IS 'Mean voltage in V';

COMMENT ON COLUMN public.vehicle_telemetry_15min.bucket IS 'Start of the quarter of an hour (UTC)';
COMMENT ON COLUMN public.vehicle_telemetry_15min.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_telemetry_15min.readings_count IS 'Number of readings; 15 when none is missing';
COMMENT ON COLUMN public.vehicle_telemetry_15min.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
COMMENT ON COLUMN public.vehicle_telemetry_15min.min_soc IS 'Lowest state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_15min.min_battery_temp IS 'Lowest battery temperature in °C';
COMMENT ON COLUMN public.vehicle_telemetry_15min.max_soc IS 'Highest state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_15min.max_battery_temp IS 'Highest battery temperature in °C';
COMMENT ON COLUMN public.vehicle_telemetry_15min.sum_soc IS 'Sum of the readings'' values (state of charge in percent), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_15min.sum_battery_temp IS 'Sum of the readings'' values (battery temperature in °C), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_15min.avg_soc IS 'Mean state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_15min.avg_battery_temp IS 'Mean battery temperature in °C';

COMMENT ON COLUMN public.vehicle_telemetry_hourly.bucket IS 'Start of the hour (UTC)';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.readings_count IS 'Number of readings; 60 when none is missing';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.min_soc IS 'Lowest state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.min_battery_temp IS 'Lowest battery temperature in °C';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.max_soc IS 'Highest state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.max_battery_temp IS 'Highest battery temperature in °C';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.sum_soc IS 'Sum of the readings'' values (state of charge in percent), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.sum_battery_temp IS 'Sum of the readings'' values (battery temperature in °C), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.avg_soc IS 'Mean state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_hourly.avg_battery_temp IS 'Mean battery temperature in °C';

COMMENT ON COLUMN public.vehicle_telemetry_daily.bucket IS 'Start of the day (UTC)';
COMMENT ON COLUMN public.vehicle_telemetry_daily.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_telemetry_daily.readings_count IS 'Number of readings; 1440 when none is missing';
COMMENT ON COLUMN public.vehicle_telemetry_daily.total_kwh_delivered_dc IS 'DC energy that reached the battery, in kWh';
COMMENT ON COLUMN public.vehicle_telemetry_daily.min_soc IS 'Lowest state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_daily.min_battery_temp IS 'Lowest battery temperature in °C';
COMMENT ON COLUMN public.vehicle_telemetry_daily.max_soc IS 'Highest state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_daily.max_battery_temp IS 'Highest battery temperature in °C';
COMMENT ON COLUMN public.vehicle_telemetry_daily.sum_soc IS 'Sum of the readings'' values (state of charge in percent), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_daily.sum_battery_temp IS 'Sum of the readings'' values (battery temperature in °C), for exact means over several rows';
COMMENT ON COLUMN public.vehicle_telemetry_daily.avg_soc IS 'Mean state of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_daily.avg_battery_temp IS 'Mean battery temperature in °C';
