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

ALTER TABLE public.meter_telemetry_15min DROP COLUMN avg_voltage, ALTER min_voltage DROP NOT NULL, ALTER max_voltage DROP NOT NULL, ALTER sum_voltage DROP NOT NULL, ADD COLUMN count_voltage bigint;
UPDATE public.meter_telemetry_15min SET count_voltage = readings_count;
ALTER TABLE public.meter_telemetry_15min ALTER count_voltage SET NOT NULL, ADD COLUMN avg_voltage numeric GENERATED ALWAYS AS (sum_voltage / nullif(count_voltage, 0)) STORED;
ALTER TABLE public.meter_telemetry_hourly DROP COLUMN avg_voltage, ALTER min_voltage DROP NOT NULL, ALTER max_voltage DROP NOT NULL, ALTER sum_voltage DROP NOT NULL, ADD COLUMN count_voltage bigint;
UPDATE public.meter_telemetry_hourly SET count_voltage = readings_count;
ALTER TABLE public.meter_telemetry_hourly ALTER count_voltage SET NOT NULL, ADD COLUMN avg_voltage numeric GENERATED ALWAYS AS (sum_voltage / nullif(count_voltage, 0)) STORED;
ALTER TABLE public.meter_telemetry_daily DROP COLUMN avg_voltage, ALTER min_voltage DROP NOT NULL, ALTER max_voltage DROP NOT NULL, ALTER sum_voltage DROP NOT NULL, ADD COLUMN count_voltage bigint;
UPDATE public.meter_telemetry_daily SET count_voltage = readings_count;
ALTER TABLE public.meter_telemetry_daily ALTER count_voltage SET NOT NULL, ADD COLUMN avg_voltage numeric GENERATED ALWAYS AS (sum_voltage / nullif(count_voltage, 0)) STORED;
ALTER TABLE public.vehicle_telemetry_15min DROP COLUMN avg_soc, ALTER min_soc DROP NOT NULL, ALTER max_soc DROP NOT NULL, ALTER sum_soc DROP NOT NULL, ADD COLUMN count_soc bigint, DROP COLUMN avg_battery_temp, ALTER min_battery_temp DROP NOT NULL, ALTER max_battery_temp DROP NOT NULL, ALTER sum_battery_temp DROP NOT NULL, ADD COLUMN count_battery_temp bigint;
UPDATE public.vehicle_telemetry_15min SET count_soc = readings_count, count_battery_temp = readings_count;
ALTER TABLE public.vehicle_telemetry_15min ALTER count_soc SET NOT NULL, ADD COLUMN avg_soc numeric GENERATED ALWAYS AS (sum_soc / nullif(count_soc, 0)) STORED, ALTER count_battery_temp SET NOT NULL, ADD COLUMN avg_battery_temp numeric GENERATED ALWAYS AS (sum_battery_temp / nullif(count_battery_temp, 0)) STORED;
ALTER TABLE public.vehicle_telemetry_hourly DROP COLUMN avg_soc, ALTER min_soc DROP NOT NULL, ALTER max_soc DROP NOT NULL, ALTER sum_soc DROP NOT NULL, ADD COLUMN count_soc bigint, DROP COLUMN avg_battery_temp, ALTER min_battery_temp DROP NOT NULL, ALTER max_battery_temp DROP NOT NULL, ALTER sum_battery_temp DROP NOT NULL, ADD COLUMN count_battery_temp bigint;
UPDATE public.vehicle_telemetry_hourly SET count_soc = readings_count, count_battery_temp = readings_count;
ALTER TABLE public.vehicle_telemetry_hourly ALTER count_soc SET NOT NULL, ADD COLUMN avg_soc numeric GENERATED ALWAYS AS (sum_soc / nullif(count_soc, 0)) STORED, ALTER count_battery_temp SET NOT NULL, ADD COLUMN avg_battery_temp numeric GENERATED ALWAYS AS (sum_battery_temp / nullif(count_battery_temp, 0)) STORED;
ALTER TABLE public.vehicle_telemetry_daily DROP COLUMN avg_soc, ALTER min_soc DROP NOT NULL, ALTER max_soc DROP NOT NULL, ALTER sum_soc DROP NOT NULL, ADD COLUMN count_soc bigint, DROP COLUMN avg_battery_temp, ALTER min_battery_temp DROP NOT NULL, ALTER max_battery_temp DROP NOT NULL, ALTER sum_battery_temp DROP NOT NULL, ADD COLUMN count_battery_temp bigint;
UPDATE public.vehicle_telemetry_daily SET count_soc = readings_count, count_battery_temp = readings_count;
ALTER TABLE public.vehicle_telemetry_daily ALTER count_soc SET NOT NULL, ADD COLUMN avg_soc numeric GENERATED ALWAYS AS (sum_soc / nullif(count_soc, 0)) STORED, ALTER count_battery_temp SET NOT NULL, ADD COLUMN avg_battery_temp numeric GENERATED ALWAYS AS (sum_battery_temp / nullif(count_battery_temp, 0)) STORED;

COMMENT ON TABLE public.meter_telemetry_15min IS 'Meter readings by the quarter of an hour';
COMMENT ON COLUMN public.meter_telemetry_15min.bucket IS 'Start of the quarter of an hour (UTC)';
COMMENT ON COLUMN public.meter_telemetry_15min.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_15min.readings_count IS 'Number of readings; 15 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_15min.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_15min.min_voltage IS 'Lowest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_15min.max_voltage IS 'Highest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_15min.sum_voltage IS 'Sum of the known values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_15min.count_voltage IS 'Number of readings whose voltage is known';
COMMENT ON COLUMN public.meter_telemetry_15min.avg_voltage IS 'Mean of the known values (voltage in V); null where none is known';

COMMENT ON TABLE public.meter_telemetry_hourly IS 'Meter readings by the hour';
COMMENT ON COLUMN public.meter_telemetry_hourly.bucket IS 'Start of the hour (UTC)';
COMMENT ON COLUMN public.meter_telemetry_hourly.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_hourly.readings_count IS 'Number of readings; 60 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_hourly.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_hourly.min_voltage IS 'Lowest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_hourly.max_voltage IS 'Highest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_hourly.sum_voltage IS 'Sum of the known values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_hourly.count_voltage IS 'Number of readings whose voltage is known';
COMMENT ON COLUMN public.meter_telemetry_hourly.avg_voltage IS 'Mean of the known values (voltage in V); null where none is known';

COMMENT ON TABLE public.meter_telemetry_daily IS 'Meter readings by the day (UTC)';
COMMENT ON COLUMN public.meter_telemetry_daily.bucket IS 'Start of the day (UTC)';
COMMENT ON COLUMN public.meter_telemetry_daily.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_daily.readings_count IS 'Number of readings; 1,440 when none is missing';
COMMENT ON COLUMN public.meter_telemetry_daily.total_kwh_consumed_ac IS 'AC energy drawn from the grid, in kWh';
COMMENT ON COLUMN public.meter_telemetry_daily.min_voltage IS 'Lowest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_daily.max_voltage IS 'Highest voltage in V; null where none is known';
COMMENT ON COLUMN public.meter_telemetry_daily.sum_voltage IS 'Sum of the known values (voltage in V), for exact means over several rows';
COMMENT ON COLUMN public.meter_telemetry_daily.count_voltage IS 'Number of readings whose voltage is known';
COMMENT ON COLUMN public.meter_telemetry_daily.avg_voltage IS 'Mean of the known values (voltage in V); null where none is known';

COMMENT ON TABLE public.vehicle_telemetry_15min IS 'Vehicle readings by the quarter of an hour';
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

COMMENT ON TABLE public.vehicle_telemetry_hourly IS 'Vehicle readings by the hour';
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

COMMENT ON TABLE public.vehicle_telemetry_daily IS 'Vehicle readings by the day (UTC)';
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
