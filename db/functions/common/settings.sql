-- The service hands its configuration to the database at every start.

CREATE OR REPLACE FUNCTION engine.apply_settings(
    p_efficiency_excellent numeric, p_efficiency_warning numeric, p_efficiency_critical numeric,
    p_battery_temp_warning numeric, p_battery_temp_critical numeric, p_voltage_min numeric, p_voltage_max numeric,
    p_offline_after interval, p_fleet_timezone text, p_max_plausible_kw numeric
) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_old_timezone text;
BEGIN
    SELECT s.fleet_timezone INTO STRICT v_old_timezone FROM engine.settings AS s FOR UPDATE;
    UPDATE engine.settings SET
        efficiency_excellent = p_efficiency_excellent, efficiency_warning = p_efficiency_warning, efficiency_critical = p_efficiency_critical,
        battery_temp_warning = p_battery_temp_warning, battery_temp_critical = p_battery_temp_critical,
        voltage_min = p_voltage_min, voltage_max = p_voltage_max,
        offline_after = p_offline_after, fleet_timezone = p_fleet_timezone, max_plausible_kw = p_max_plausible_kw;
    IF p_fleet_timezone <> v_old_timezone THEN
        PERFORM engine.rebuild_daily_totals();
    END IF;
END
$$;
COMMENT ON FUNCTION engine.apply_settings(numeric, numeric, numeric, numeric, numeric, numeric, numeric, interval, text, numeric) IS 'Stores the service''s configuration (thresholds in ratio, °C, V and kW); a changed time zone recounts the daily totals';

CREATE OR REPLACE FUNCTION engine.set_analyst_password(p_verifier text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER ROLE analyst PASSWORD %L', p_verifier);
END
$$;
COMMENT ON FUNCTION engine.set_analyst_password(text) IS 'Gives role analyst a password, told as its SCRAM verifier so that no log ever holds it; null takes it away';
