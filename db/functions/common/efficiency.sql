-- Efficiency: the ratio of DC to AC energy, its name and what to look into.

CREATE OR REPLACE FUNCTION engine.efficiency_ratio(p_kwh_ac numeric, p_kwh_dc numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(p_kwh_dc / nullif(p_kwh_ac, 0), 4);
COMMENT ON FUNCTION engine.efficiency_ratio(numeric, numeric) IS 'DC over AC energy, rounded to 4 decimals; null without AC energy. Its status is that of the rounded value';

CREATE OR REPLACE FUNCTION engine.efficiency_status(p_ratio numeric, p_settings engine.settings) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_ratio IS NULL OR p_ratio > 1 THEN 'unknown'
    WHEN p_ratio >= (p_settings).efficiency_excellent THEN 'excellent'
    WHEN p_ratio >= (p_settings).efficiency_warning THEN 'good'
    WHEN p_ratio >= (p_settings).efficiency_critical THEN 'warning'
    ELSE 'critical'
END;
COMMENT ON FUNCTION engine.efficiency_status(numeric, engine.settings) IS 'Name of an efficiency ratio under given thresholds: excellent, good, warning, critical, or unknown for null and above 1';

CREATE OR REPLACE FUNCTION engine.efficiency_warning(p_ratio numeric, p_settings engine.settings) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN p_ratio > 1 THEN format('Efficiency %s is above 1: more energy delivered than consumed, check the mapping and the meter', p_ratio)
        WHEN p_ratio < (p_settings).efficiency_critical THEN format('Efficiency %s is below %s: critical, check for a hardware fault, energy leakage or a charger malfunction', p_ratio, (p_settings).efficiency_critical)
        WHEN p_ratio < (p_settings).efficiency_warning THEN format('Efficiency %s is below %s: check for a hardware fault, energy leakage or a charger malfunction', p_ratio, (p_settings).efficiency_warning)
    END
$$;
COMMENT ON FUNCTION engine.efficiency_warning(numeric, engine.settings) IS 'What to look into at an efficiency ratio under given thresholds; null when nothing is wrong';
