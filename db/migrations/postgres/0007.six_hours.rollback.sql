DROP VIEW engine.vehicle_6hourly;
DROP VIEW engine.meter_6hourly;
