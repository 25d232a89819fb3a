-- Applied after a rollback and before migrations: what told of relations that are gone goes too, so that every answer is that
-- of what is left.
DO $$
BEGIN
    IF to_regclass('engine.meter_state') IS NULL THEN
        RETURN;
    END IF;
    IF to_regclass('public.meter_telemetry_history') IS NULL THEN
        DELETE FROM engine.meter_state;
        DELETE FROM engine.vehicle_state;
    END IF;
    IF to_regclass('public.meter_telemetry_hourly') IS NULL THEN
        DELETE FROM engine.stale_hour;
    END IF;
END
$$;
