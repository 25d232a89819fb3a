-- What one vehicle did: its performance over a period and its trend by the hour.

CREATE OR REPLACE FUNCTION public.vehicle_performance(
    p_vehicle_id text,
    p_hours integer DEFAULT 24,
    p_period_end timestamptz DEFAULT now(),
    p_meter_id text DEFAULT NULL
)
RETURNS TABLE (
    vehicle_id text,
    period_start timestamptz,
    period_end timestamptz,
    total_kwh_consumed_ac numeric,
    total_kwh_delivered_dc numeric,
    efficiency_ratio numeric,
    efficiency_status text,
    avg_battery_temp numeric,
    max_battery_temp numeric,
    min_battery_temp numeric,
    readings_count bigint,
    meter_id text,
    warning text,
    coverage jsonb
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_start timestamptz := engine.period_start(p_hours, p_period_end);
    v_dc record;
    v_ac record;
    v_ratio numeric;
    v_mapped_minutes numeric;
BEGIN
    SELECT sum(h.readings_count)::bigint AS readings, sum(h.kwh) AS kwh, sum(h.sum_battery_temp) AS sum_temp,
        min(h.min_battery_temp) AS min_temp, max(h.max_battery_temp) AS max_temp
    INTO v_dc
    FROM engine.vehicle_hours(p_vehicle_id, v_start, p_period_end) AS h;
    IF v_dc.readings IS NULL THEN
        RETURN;
    END IF;

    SELECT sum(a.readings) AS readings, sum(a.kwh) AS kwh,
        sum(extract(epoch FROM a.mapped_to - a.mapped_from)) / 60 AS mapped_minutes,
        (array_agg(a.meter_id ORDER BY a.mapped_to DESC, a.mapped_from DESC, a.meter_id))[1] AS meter_id
    INTO v_ac
    FROM (
        SELECT h.meter_id, h.mapped_from, h.mapped_to, sum(h.readings_count) AS readings, sum(h.kwh) AS kwh
        FROM engine.vehicle_meter_hours(p_vehicle_id, v_start, p_period_end, p_meter_id) AS h
        GROUP BY h.meter_id, h.mapped_from, h.mapped_to
    ) AS a;
    v_ratio := engine.efficiency_ratio(v_ac.kwh, v_dc.kwh);

    RETURN QUERY SELECT
        p_vehicle_id, v_start, p_period_end, v_ac.kwh, v_dc.kwh, v_ratio, engine.efficiency_status(v_ratio),
        round(v_dc.sum_temp / v_dc.readings, 4), v_dc.max_temp, v_dc.min_temp, v_dc.readings, v_ac.meter_id,
        engine.efficiency_warning(v_ratio),
        jsonb_build_object(
            'meter', round(coalesce(v_ac.readings, 0) / v_ac.mapped_minutes, 4),
            'vehicle', round(v_dc.readings / (60.0 * p_hours), 4)
        );
END
$$;
COMMENT ON FUNCTION public.vehicle_performance(text, integer, timestamptz, text) IS
    'Energy (kWh), efficiency and battery temperature (°C) of a vehicle over the hours before period_end (start included, end excluded); no row when the vehicle has no reading there. meter_id limits the AC side to one of its meters; coverage is readings received over one a minute';

CREATE OR REPLACE FUNCTION engine.efficiency_warning(p_ratio numeric)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_ratio > 1 THEN format('Efficiency %s is above 1: more energy delivered than consumed, check the mapping and the meter', p_ratio)
        WHEN p_ratio < s.efficiency_critical THEN format('Efficiency %s is below %s: critical, check for a hardware fault, energy leakage or a charger malfunction', p_ratio, s.efficiency_critical)
        WHEN p_ratio < s.efficiency_warning THEN format('Efficiency %s is below %s: check for a hardware fault, energy leakage or a charger malfunction', p_ratio, s.efficiency_warning)
    END
    FROM engine.settings AS s
$$;
COMMENT ON FUNCTION engine.efficiency_warning(numeric) IS
    'What to look into at an efficiency ratio; null when nothing is wrong';

CREATE OR REPLACE FUNCTION public.vehicle_trend(
    p_vehicle_id text,
    p_hours integer DEFAULT 24,
    p_period_end timestamptz DEFAULT now()
)
RETURNS TABLE (
    hour timestamptz,
    kwh_consumed_ac numeric,
    kwh_delivered_dc numeric,
    efficiency_ratio numeric,
    avg_battery_temp numeric
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_start timestamptz := engine.period_start(p_hours, p_period_end);
BEGIN
    RETURN QUERY
        SELECT
            coalesce(ac.bucket, dc.bucket), ac.kwh, dc.kwh, engine.efficiency_ratio(ac.kwh, dc.kwh),
            round(dc.sum_temp / dc.readings, 4)
        FROM (
            SELECT h.bucket, sum(h.kwh) AS kwh
            FROM engine.vehicle_meter_hours(p_vehicle_id, v_start, p_period_end) AS h
            WHERE h.bucket IS NOT NULL
            GROUP BY h.bucket
        ) AS ac
        FULL JOIN (
            SELECT h.bucket, sum(h.kwh) AS kwh, sum(h.sum_battery_temp) AS sum_temp, sum(h.readings_count) AS readings
            FROM engine.vehicle_hours(p_vehicle_id, v_start, p_period_end) AS h
            GROUP BY h.bucket
        ) AS dc ON dc.bucket = ac.bucket
        ORDER BY 1;
END
$$;
COMMENT ON FUNCTION public.vehicle_trend(text, integer, timestamptz) IS
    'Energy (kWh), efficiency and mean battery temperature (°C) of a vehicle by the hour (UTC), oldest first; hours without any reading are left out, and a cut first or last hour counts only what lies inside the period';
