DROP MATERIALIZED VIEW engine.vehicle_6hourly;
DROP MATERIALIZED VIEW engine.meter_6hourly;
