-- Views of the fleet for dashboards: a row for each vehicle or charger, and the fleet by time.

CREATE OR REPLACE FUNCTION public.fleet_vehicles(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    vehicle_id text, label text, depot text, kwh_consumed_ac numeric, kwh_delivered_dc numeric, efficiency_ratio numeric, efficiency_status text,
    energy_loss numeric, meter_coverage numeric, vehicle_coverage numeric, paired_ratio numeric, paired_share numeric, verdict text, reasons jsonb
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
BEGIN
    RETURN QUERY
        SELECT k.vehicle_id, d.label, d.depot, e.kwh_ac, e.kwh_dc, r.ratio, engine.efficiency_status(r.ratio, s), CASE WHEN e.kwh_ac > 0 THEN e.kwh_ac - e.kwh_dc END,
            round((least(coalesce(e.meter_heard, 0), m.expected) / m.expected)::numeric, 4),
            round((coalesce(e.vehicle_heard, 0) * coalesce(d.interval_seconds, 60) / extract(epoch FROM p_to - p_from)::double precision)::numeric, 4),
            e.paired_ratio, coalesce(e.paired_share, NULL), coalesce(e.verdict, 'idle'), coalesce(e.reasons, '[]')
        FROM engine.settings AS s
        CROSS JOIN engine.fleet_evidence(p_from, p_to) AS e
        FULL JOIN engine.vehicle_state AS v ON v.vehicle_id = e.vehicle_id
        CROSS JOIN LATERAL (SELECT coalesce(e.vehicle_id, v.vehicle_id) AS vehicle_id) AS k
        LEFT JOIN public.device AS d ON d.kind = 'vehicle' AND d.device_id = k.vehicle_id
        LEFT JOIN (
            SELECT g.vehicle_id, sum(extract(epoch FROM least(g.valid_to, p_to) - greatest(g.valid_from, p_from))::double precision / coalesce(c.interval_seconds, 60)) AS expected
            FROM engine.mapping AS g LEFT JOIN public.device AS c ON c.kind = 'meter' AND c.device_id = g.meter_id
            WHERE g.valid_from < p_to AND g.valid_to > p_from GROUP BY g.vehicle_id
        ) AS m ON m.vehicle_id = k.vehicle_id
        CROSS JOIN LATERAL (SELECT engine.efficiency_ratio(e.kwh_ac, e.kwh_dc) AS ratio) AS r;
END
$$;
COMMENT ON FUNCTION public.fleet_vehicles(timestamptz, timestamptz) IS 'Energy, loss (kWh), ratio and evidence of every known vehicle over [from, to), in no order: AC is what its meters consumed while mapped to it, null where nothing was received; coverage is the intervals with a reading over those expected';

CREATE OR REPLACE FUNCTION public.fleet_chargers(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    meter_id text, label text, depot text, vehicle_id text, kwh_consumed_ac numeric, kwh_delivered_dc numeric, efficiency_ratio numeric, efficiency_status text,
    energy_loss numeric, coverage numeric, paired_ratio numeric, paired_share numeric, verdict text, reasons jsonb
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
BEGIN
    RETURN QUERY
        SELECT m.meter_id, d.label, d.depot, g.vehicle_id, e.kwh_ac, e.kwh_dc, r.ratio, engine.efficiency_status(r.ratio, s), CASE WHEN e.kwh_ac > 0 THEN e.kwh_ac - e.kwh_dc END,
            round((coalesce(e.meter_heard, 0) * coalesce(d.interval_seconds, 60) / extract(epoch FROM p_to - p_from)::double precision)::numeric, 4),
            engine.efficiency_ratio(e.paired_ac, e.paired_dc), round(coalesce(e.paired_ac, 0) / nullif(e.kwh_ac, 0), 4),
            engine.verdict(e.kwh_ac, e.kwh_dc, i.kwh IS NOT NULL, cardinality(r.reasons)), array_to_json(r.reasons)::jsonb
        FROM engine.meter_state AS m
        CROSS JOIN engine.settings AS s
        LEFT JOIN engine.evidence_sums(p_from, p_to, NULL, NULL, true) AS e ON e.device_id = m.meter_id
        LEFT JOIN (
            SELECT q.device_id, sum(q.kwh) AS kwh, min(q.ts) AS since, max(q.ts) AS until FROM engine.implausible_reading AS q
            WHERE q.stream = 'meter' AND q.ts >= p_from AND q.ts < p_to GROUP BY q.device_id
        ) AS i ON i.device_id = m.meter_id
        LEFT JOIN public.device AS d ON d.kind = 'meter' AND d.device_id = m.meter_id
        LEFT JOIN engine.mapping AS g ON g.meter_id = m.meter_id AND g.valid_from < p_to AND g.valid_to >= p_to
        CROSS JOIN LATERAL (
            SELECT engine.efficiency_ratio(e.kwh_ac, e.kwh_dc) AS ratio,
                coalesce(e.reasons, '{}') || CASE WHEN i.kwh IS NOT NULL THEN ARRAY[engine.reason('implausibleReading', i.kwh, i.since, i.until)] ELSE '{}' END AS reasons OFFSET 0
        ) AS r;
END
$$;
COMMENT ON FUNCTION public.fleet_chargers(timestamptz, timestamptz) IS 'Energy, loss (kWh), ratio and evidence of every charger (meter) over [from, to), in no order, from the hours in which it alone served a vehicle; vehicle_id is the one that it served at the end';

CREATE OR REPLACE FUNCTION public.fleet_trend(p_from timestamptz, p_to timestamptz, p_resolution text DEFAULT 'hour')
RETURNS TABLE (start timestamptz, kwh_consumed_ac numeric, kwh_delivered_dc numeric, efficiency_ratio numeric, energy_loss numeric, vehicles bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_meter_cuts engine.period_cuts := engine.fine_cuts(engine.cut_period('meter', p_from, p_to, true, false), p_resolution);
    v_vehicle_cuts engine.period_cuts := engine.fine_cuts(engine.cut_period('vehicle', p_from, p_to, true, false), p_resolution);
    v_timezone text := (SELECT s.fleet_timezone FROM engine.settings AS s);
BEGIN
    RETURN QUERY
        SELECT e.bucket, sum(e.ac), sum(e.dc), engine.efficiency_ratio(sum(e.ac), sum(e.dc)), sum(e.ac) - sum(e.dc), sum(e.vehicles)::bigint
        FROM (
            SELECT engine.bucket_start(m.ts, p_resolution, v_timezone) AS bucket, sum(m.kwh) AS ac, NULL::numeric AS dc, NULL::bigint AS vehicles
            FROM engine.meter_energy_parts(p_from, p_to, v_meter_cuts) AS m GROUP BY 1
            UNION ALL SELECT engine.bucket_start(v.ts, p_resolution, v_timezone), NULL, sum(v.kwh), count(DISTINCT v.device_id)
            FROM engine.vehicle_energy_parts(p_from, p_to, v_vehicle_cuts) AS v GROUP BY 1
        ) AS e
        GROUP BY e.bucket ORDER BY e.bucket;
END
$$;
COMMENT ON FUNCTION public.fleet_trend(timestamptz, timestamptz, text) IS 'Energy (kWh) received of the whole fleet over [from, to) by 15min, hour or day (of the fleet''s time zone), oldest first, with the ratio and loss of all of it and the vehicles that reported; buckets without any reading are left out';

CREATE OR REPLACE FUNCTION engine.bucket_start(p_ts timestamptz, p_resolution text, p_timezone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE p_resolution
    WHEN '15min' THEN date_bin('15 minutes', p_ts, 'epoch') WHEN 'hour' THEN date_bin('1 hour', p_ts, 'epoch')
    ELSE date_trunc('day', p_ts AT TIME ZONE p_timezone) AT TIME ZONE p_timezone
END;
COMMENT ON FUNCTION engine.bucket_start(timestamptz, text, text) IS 'Start of the quarter of an hour, hour or local day of a time';

-- Where a day begins at a half or a quarter of an hour, hours cannot tell days apart; nor can they tell quarters.
CREATE OR REPLACE FUNCTION engine.fine_cuts(p_cuts engine.period_cuts, p_resolution text) RETURNS engine.period_cuts
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_resolution NOT IN ('15min', 'hour', 'day') THEN
        RAISE EXCEPTION 'resolution must be 15min, hour or day' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_resolution = '15min' OR p_resolution = 'day' AND EXISTS (
        SELECT FROM engine.settings AS s
        WHERE extract(minute FROM now() AT TIME ZONE s.fleet_timezone - now() AT TIME ZONE 'UTC') <> 0
    ) THEN
        p_cuts.hours_from := p_cuts.quarters_to;
        p_cuts.six_hours_from := p_cuts.quarters_to; p_cuts.days_from := p_cuts.quarters_to; p_cuts.stale_from := p_cuts.quarters_to;
        p_cuts.stale_to := p_cuts.quarters_to; p_cuts.days_to := p_cuts.quarters_to; p_cuts.six_hours_to := p_cuts.quarters_to; p_cuts.hours_to := p_cuts.quarters_to;
    END IF;
    RETURN p_cuts;
END
$$;
COMMENT ON FUNCTION engine.fine_cuts(engine.period_cuts, text) IS 'The cuts of a period with quarters of an hour in place of hours, where a resolution needs them; raises invalid_parameter_value for an unknown one';
