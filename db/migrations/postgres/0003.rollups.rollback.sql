DELETE FROM engine.horizon;
DROP TABLE vehicle_telemetry_daily;
DROP TABLE vehicle_telemetry_hourly;
DROP TABLE meter_telemetry_daily;
DROP TABLE meter_telemetry_hourly;
