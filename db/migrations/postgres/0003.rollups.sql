-- Rollups: hourly and daily tables, kept exact by statement-level triggers (functions/postgres/upkeep.sql).
-- depends: 0002.history

-- Half-empty pages keep the updates of a bucket heap-only.
CREATE TABLE public.meter_telemetry_hourly (
    bucket timestamptz NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    readings_count bigint NOT NULL,
    total_kwh_consumed_ac numeric NOT NULL,
    min_voltage numeric NOT NULL,
    max_voltage numeric NOT NULL,
    sum_voltage numeric NOT NULL,
    avg_voltage numeric GENERATED ALWAYS AS (sum_voltage / readings_count) STORED,
    PRIMARY KEY (meter_id, bucket)
) WITH (fillfactor = 50);
CREATE INDEX meter_telemetry_hourly_bucket ON public.meter_telemetry_hourly (bucket);
CREATE TABLE public.meter_telemetry_daily (LIKE public.meter_telemetry_hourly INCLUDING ALL) WITH (fillfactor = 50);

CREATE TABLE public.vehicle_telemetry_hourly (
    bucket timestamptz NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    readings_count bigint NOT NULL,
    total_kwh_delivered_dc numeric NOT NULL,
    min_soc numeric NOT NULL,
    max_soc numeric NOT NULL,
    sum_soc numeric NOT NULL,
    avg_soc numeric GENERATED ALWAYS AS (sum_soc / readings_count) STORED,
    min_battery_temp numeric NOT NULL,
    max_battery_temp numeric NOT NULL,
    sum_battery_temp numeric NOT NULL,
    avg_battery_temp numeric GENERATED ALWAYS AS (sum_battery_temp / readings_count) STORED,
    PRIMARY KEY (vehicle_id, bucket)
) WITH (fillfactor = 50);
CREATE INDEX vehicle_telemetry_hourly_bucket ON public.vehicle_telemetry_hourly (bucket);
CREATE TABLE public.vehicle_telemetry_daily (LIKE public.vehicle_telemetry_hourly INCLUDING ALL) WITH (fillfactor = 50);

-- History that a rollback of this migration left behind is rolled up again.
INSERT INTO public.meter_telemetry_hourly (bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage)
SELECT date_bin('1 hour', h.ts, 'epoch'), h.meter_id, count(*), sum(h.kwh_consumed_ac), min(h.voltage), max(h.voltage), sum(h.voltage)
FROM public.meter_telemetry_history AS h
GROUP BY 1, 2;
INSERT INTO public.meter_telemetry_daily (bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage)
SELECT date_bin('1 day', h.bucket, 'epoch'), h.meter_id, sum(h.readings_count), sum(h.total_kwh_consumed_ac), min(h.min_voltage), max(h.max_voltage), sum(h.sum_voltage)
FROM public.meter_telemetry_hourly AS h
GROUP BY 1, 2;
INSERT INTO public.vehicle_telemetry_hourly (bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, min_battery_temp, max_battery_temp, sum_battery_temp)
SELECT date_bin('1 hour', h.ts, 'epoch'), h.vehicle_id, count(*), sum(h.kwh_delivered_dc), min(h.soc), max(h.soc), sum(h.soc), min(h.battery_temp), max(h.battery_temp), sum(h.battery_temp)
FROM public.vehicle_telemetry_history AS h
GROUP BY 1, 2;
INSERT INTO public.vehicle_telemetry_daily (bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, min_battery_temp, max_battery_temp, sum_battery_temp)
SELECT date_bin('1 day', h.bucket, 'epoch'), h.vehicle_id, sum(h.readings_count), sum(h.total_kwh_delivered_dc), min(h.min_soc), max(h.max_soc), sum(h.sum_soc), min(h.min_battery_temp), max(h.max_battery_temp), sum(h.sum_battery_temp)
FROM public.vehicle_telemetry_hourly AS h
GROUP BY 1, 2;

-- The triggers leave nothing behind, so answers may use rollups up to the present hour.
INSERT INTO engine.horizon (rolled_up_before, day_totals_after) VALUES ('infinity', 'infinity');

COMMENT ON TABLE public.meter_telemetry_hourly IS 'Meter readings by the hour';
COMMENT ON TABLE public.meter_telemetry_daily IS 'Meter readings by the day (UTC)';
COMMENT ON TABLE public.vehicle_telemetry_hourly IS 'Vehicle readings by the hour';
COMMENT ON TABLE public.vehicle_telemetry_daily IS 'Vehicle readings by the day (UTC)';
