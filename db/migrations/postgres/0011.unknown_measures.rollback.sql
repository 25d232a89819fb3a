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

ALTER TABLE public.meter_telemetry_15min DROP COLUMN avg_voltage, DROP COLUMN count_voltage;
ALTER TABLE public.meter_telemetry_15min ALTER min_voltage SET NOT NULL, ALTER max_voltage SET NOT NULL, ALTER sum_voltage SET NOT NULL, ADD COLUMN avg_voltage numeric GENERATED ALWAYS AS (sum_voltage / readings_count) STORED;
ALTER TABLE public.meter_telemetry_hourly DROP COLUMN avg_voltage, DROP COLUMN count_voltage;
ALTER TABLE public.meter_telemetry_hourly ALTER min_voltage SET NOT NULL, ALTER max_voltage SET NOT NULL, ALTER sum_voltage SET NOT NULL, ADD COLUMN avg_voltage numeric GENERATED ALWAYS AS (sum_voltage / readings_count) STORED;
ALTER TABLE public.meter_telemetry_daily DROP COLUMN avg_voltage, DROP COLUMN count_voltage;
ALTER TABLE public.meter_telemetry_daily ALTER min_voltage SET NOT NULL, ALTER max_voltage SET NOT NULL, ALTER sum_voltage SET NOT NULL, ADD COLUMN avg_voltage numeric GENERATED ALWAYS AS (sum_voltage / readings_count) STORED;
ALTER TABLE public.vehicle_telemetry_15min DROP COLUMN avg_soc, DROP COLUMN count_soc, DROP COLUMN avg_battery_temp, DROP COLUMN count_battery_temp;
ALTER TABLE public.vehicle_telemetry_15min ALTER min_soc SET NOT NULL, ALTER max_soc SET NOT NULL, ALTER sum_soc SET NOT NULL, ADD COLUMN avg_soc numeric GENERATED ALWAYS AS (sum_soc / readings_count) STORED, ALTER min_battery_temp SET NOT NULL, ALTER max_battery_temp SET NOT NULL, ALTER sum_battery_temp SET NOT NULL, ADD COLUMN avg_battery_temp numeric GENERATED ALWAYS AS (sum_battery_temp / readings_count) STORED;
ALTER TABLE public.vehicle_telemetry_hourly DROP COLUMN avg_soc, DROP COLUMN count_soc, DROP COLUMN avg_battery_temp, DROP COLUMN count_battery_temp;
ALTER TABLE public.vehicle_telemetry_hourly ALTER min_soc SET NOT NULL, ALTER max_soc SET NOT NULL, ALTER sum_soc SET NOT NULL, ADD COLUMN avg_soc numeric GENERATED ALWAYS AS (sum_soc / readings_count) STORED, ALTER min_battery_temp SET NOT NULL, ALTER max_battery_temp SET NOT NULL, ALTER sum_battery_temp SET NOT NULL, ADD COLUMN avg_battery_temp numeric GENERATED ALWAYS AS (sum_battery_temp / readings_count) STORED;
ALTER TABLE public.vehicle_telemetry_daily DROP COLUMN avg_soc, DROP COLUMN count_soc, DROP COLUMN avg_battery_temp, DROP COLUMN count_battery_temp;
ALTER TABLE public.vehicle_telemetry_daily ALTER min_soc SET NOT NULL, ALTER max_soc SET NOT NULL, ALTER sum_soc SET NOT NULL, ADD COLUMN avg_soc numeric GENERATED ALWAYS AS (sum_soc / readings_count) STORED, ALTER min_battery_temp SET NOT NULL, ALTER max_battery_temp SET NOT NULL, ALTER sum_battery_temp SET NOT NULL, ADD COLUMN avg_battery_temp numeric GENERATED ALWAYS AS (sum_battery_temp / readings_count) STORED;
