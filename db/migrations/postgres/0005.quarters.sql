-- A 15-minute rollup under the hours; triggers keep all three (functions/postgres/rollups.rollup.sql).
-- depends: 0004.horizon

CREATE TABLE public.meter_telemetry_15min (LIKE public.meter_telemetry_hourly INCLUDING ALL) WITH (fillfactor = 50);
CREATE TABLE public.vehicle_telemetry_15min (LIKE public.vehicle_telemetry_hourly INCLUDING ALL) WITH (fillfactor = 50);

INSERT INTO public.meter_telemetry_15min (bucket, meter_id, readings_count, total_kwh_consumed_ac, min_voltage, max_voltage, sum_voltage)
SELECT date_bin('15 minutes', h.ts, 'epoch'), h.meter_id, count(*), sum(h.kwh_consumed_ac), min(h.voltage), max(h.voltage), sum(h.voltage)
FROM public.meter_telemetry_history AS h
GROUP BY 1, 2;
INSERT INTO public.vehicle_telemetry_15min (bucket, vehicle_id, readings_count, total_kwh_delivered_dc, min_soc, max_soc, sum_soc, min_battery_temp, max_battery_temp, sum_battery_temp)
SELECT date_bin('15 minutes', h.ts, 'epoch'), h.vehicle_id, count(*), sum(h.kwh_delivered_dc), min(h.soc), max(h.soc), sum(h.soc), min(h.battery_temp), max(h.battery_temp), sum(h.battery_temp)
FROM public.vehicle_telemetry_history AS h
GROUP BY 1, 2;

UPDATE engine.horizon SET quarters_from = history_from;

INSERT INTO engine.retention (relation, keep) VALUES ('meter_telemetry_15min', '400 days'), ('vehicle_telemetry_15min', '400 days');

COMMENT ON TABLE public.meter_telemetry_15min IS 'Meter readings by the quarter of an hour';
COMMENT ON TABLE public.meter_telemetry_hourly IS 'Meter readings by the hour';
COMMENT ON TABLE public.meter_telemetry_daily IS 'Meter readings by the day (UTC)';
COMMENT ON TABLE public.vehicle_telemetry_15min IS 'Vehicle readings by the quarter of an hour';
COMMENT ON TABLE public.vehicle_telemetry_hourly IS 'Vehicle readings by the hour';
COMMENT ON TABLE public.vehicle_telemetry_daily IS 'Vehicle readings by the day (UTC)';
