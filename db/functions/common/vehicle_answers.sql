-- What one vehicle did: its performance over a period and its trend by the hour.

CREATE OR REPLACE FUNCTION engine.vehicle_meter_sums(
    p_vehicle_id text, p_from timestamptz, p_to timestamptz, p_width interval, p_meter_id text DEFAULT NULL
) RETURNS TABLE (meter_id text, mapped_from timestamptz, mapped_to timestamptz, bucket timestamptz, readings_count bigint, kwh numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT m.meter_id, greatest(m.valid_from, p_from), least(m.valid_to, p_to), s.bucket, s.readings_count, s.kwh
        FROM engine.mapping AS m
        LEFT JOIN LATERAL engine.meter_sums(greatest(m.valid_from, p_from), least(m.valid_to, p_to), m.meter_id, p_width) AS s ON true
        WHERE m.vehicle_id = p_vehicle_id AND m.valid_from < p_to AND m.valid_to > p_from
            AND (p_meter_id IS NULL OR m.meter_id = p_meter_id);
END
$$;
COMMENT ON FUNCTION engine.vehicle_meter_sums(text, timestamptz, timestamptz, interval, text) IS 'AC energy (kWh) and readings of a vehicle''s meters while they were mapped to it, in buckets of that width if there is one; rows of a mapping and bucket add up; null where a mapping saw no reading';

CREATE OR REPLACE FUNCTION public.vehicle_performance(
    p_vehicle_id text, p_hours integer DEFAULT 24, p_period_end timestamptz DEFAULT now(), p_meter_id text DEFAULT NULL
) RETURNS TABLE (
    vehicle_id text, period_start timestamptz, period_end timestamptz, total_kwh_consumed_ac numeric,
    total_kwh_delivered_dc numeric, efficiency_ratio numeric, efficiency_status text, avg_battery_temp numeric,
    max_battery_temp numeric, min_battery_temp numeric, readings_count bigint, meter_id text, warning text,
    coverage jsonb, paired_ratio numeric, paired_share numeric, verdict text, reasons jsonb
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_start timestamptz := engine.period_start(p_hours, p_period_end);
    v_dc record;
    v_ac record;
    v_ratio numeric;
    v_evidence record;
    v_settings engine.settings := (SELECT s FROM engine.settings AS s);
BEGIN
    SELECT sum(s.readings_count)::bigint AS readings, sum(s.kwh) AS kwh, sum(s.sum_battery_temp) AS sum_temp, sum(s.count_battery_temp) AS temps,
        min(s.min_battery_temp) AS min_temp, max(s.max_battery_temp) AS max_temp
    INTO v_dc
    FROM engine.vehicle_sums(v_start, p_period_end, p_vehicle_id, NULL) AS s;
    IF v_dc.readings IS NULL THEN
        RETURN;
    END IF;
    SELECT sum(s.readings_count) AS readings, sum(s.kwh) AS kwh,
        sum(extract(epoch FROM s.mapped_to - s.mapped_from) / engine.interval_seconds('meter', s.meter_id)) AS expected,
        (array_agg(s.meter_id ORDER BY s.mapped_to DESC, s.mapped_from DESC, s.meter_id))[1] AS meter_id
    INTO v_ac
    FROM (
        SELECT m.meter_id, m.mapped_from, m.mapped_to, sum(m.readings_count) AS readings_count, sum(m.kwh) AS kwh
        FROM engine.vehicle_meter_sums(p_vehicle_id, v_start, p_period_end, NULL, p_meter_id) AS m
        GROUP BY m.meter_id, m.mapped_from, m.mapped_to
    ) AS s;
    v_ratio := engine.efficiency_ratio(v_ac.kwh, v_dc.kwh);
    SELECT e.* INTO v_evidence FROM engine.fleet_evidence(v_start, p_period_end, ARRAY[p_vehicle_id], p_meter_id) AS e WHERE e.vehicle_id = p_vehicle_id;
    RETURN QUERY SELECT
        p_vehicle_id, v_start, p_period_end, v_ac.kwh, v_dc.kwh, v_ratio, engine.efficiency_status(v_ratio, v_settings),
        round(v_dc.sum_temp / nullif(v_dc.temps, 0), 4), v_dc.max_temp, v_dc.min_temp, v_dc.readings, v_ac.meter_id,
        nullif(concat_ws('. ', engine.efficiency_warning(v_ratio, v_settings), engine.implausible_warning(v_start, p_period_end, p_vehicle_id, p_meter_id)), ''),
        jsonb_build_object(
            'meter', round((least(coalesce(v_evidence.meter_heard, 0), v_ac.expected) / v_ac.expected)::numeric, 4),
            'vehicle', round((v_evidence.vehicle_heard * engine.interval_seconds('vehicle', p_vehicle_id) / (3600 * p_hours))::numeric, 4)
        ),
        v_evidence.paired_ratio, v_evidence.paired_share, v_evidence.verdict, v_evidence.reasons;
END
$$;
COMMENT ON FUNCTION public.vehicle_performance(text, integer, timestamptz, text) IS 'Energy (kWh), efficiency and battery temperature (°C, null where none is known) of a vehicle over the hours before period_end (start included, end excluded); no row when the vehicle has no reading there. meter_id limits the AC side to one of its meters; coverage is the intervals with a reading over those expected, at most 1; paired_ratio is that of the hours that both sides cover, paired_share their part of the AC energy, reasons say what may be wrong with the ratio';

CREATE OR REPLACE FUNCTION public.vehicle_trend(
    p_vehicle_id text, p_hours integer DEFAULT 24, p_period_end timestamptz DEFAULT now()
) RETURNS TABLE (
    hour timestamptz, kwh_consumed_ac numeric, kwh_delivered_dc numeric, efficiency_ratio numeric,
    avg_battery_temp numeric
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_start timestamptz := engine.period_start(p_hours, p_period_end);
BEGIN
    RETURN QUERY
        SELECT
            coalesce(ac.bucket, dc.bucket), ac.kwh, dc.kwh, engine.efficiency_ratio(ac.kwh, dc.kwh),
            round(dc.sum_temp / nullif(dc.temps, 0), 4)
        FROM (
            SELECT s.bucket, sum(s.kwh) AS kwh FROM engine.vehicle_meter_sums(p_vehicle_id, v_start, p_period_end, '1 hour') AS s
            WHERE s.bucket IS NOT NULL GROUP BY s.bucket
        ) AS ac
        FULL JOIN (
            SELECT s.bucket, sum(s.kwh) AS kwh, sum(s.sum_battery_temp) AS sum_temp, sum(s.count_battery_temp) AS temps
            FROM engine.vehicle_sums(v_start, p_period_end, p_vehicle_id, '1 hour') AS s
            GROUP BY s.bucket
        ) AS dc ON dc.bucket = ac.bucket
        ORDER BY 1;
END
$$;
COMMENT ON FUNCTION public.vehicle_trend(text, integer, timestamptz) IS 'Energy (kWh), efficiency and mean battery temperature (°C) of a vehicle by the hour (UTC), oldest first; hours without any reading are left out, and a cut first or last hour counts only what lies inside the period';
