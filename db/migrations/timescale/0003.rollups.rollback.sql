DELETE FROM engine.horizon;
DROP MATERIALIZED VIEW vehicle_telemetry_daily;
DROP MATERIALIZED VIEW vehicle_telemetry_hourly;
DROP MATERIALIZED VIEW meter_telemetry_daily;
DROP MATERIALIZED VIEW meter_telemetry_hourly;
