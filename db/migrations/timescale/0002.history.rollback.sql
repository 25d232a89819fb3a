DROP TABLE vehicle_telemetry_history;
DROP TABLE meter_telemetry_history;
