-- Evidence: why a ratio is what it is, from hours in which both sides are known.

-- One row for each vehicle and hour with a reading of it or of a meter mapped to it. A meter's hour is the vehicle's when
-- the mapping holds throughout; an hour in which a mapping begins or ends is summed within the mapping. Inlined.
CREATE OR REPLACE FUNCTION engine.vehicle_hour_pairs(
    p_from timestamptz, p_to timestamptz, p_meter_cuts engine.period_cuts, p_vehicle_cuts engine.period_cuts, p_vehicle_ids text[], p_meter_ids text[]
) RETURNS TABLE (
    vehicle_id text, hour timestamptz, kwh_ac numeric, kwh_dc numeric, meter_readings bigint, vehicle_readings bigint,
    meter_id text, meter_covers boolean, meter_expected double precision, vehicle_expected double precision, min_soc numeric, max_soc numeric
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(dc.device_id, ac.vehicle_id), coalesce(dc.hour, ac.hour), ac.kwh, dc.kwh, ac.readings, dc.readings, ac.meter_id,
        coalesce(ac.covers AND ac.seconds >= engine.hour_seconds(ac.hour, p_from, p_to), false), ac.expected,
        engine.hour_seconds(coalesce(dc.hour, ac.hour), p_from, p_to) / coalesce(d.interval_seconds, 60), dc.min_soc, dc.max_soc
    FROM engine.vehicle_hours(p_from, p_to, p_vehicle_cuts, p_vehicle_ids) AS dc
    FULL JOIN (
        SELECT a.vehicle_id, a.hour, CASE WHEN min(a.meter_id) = max(a.meter_id) THEN min(a.meter_id) END AS meter_id, sum(a.kwh) AS kwh, sum(a.readings)::bigint AS readings, bool_and(a.readings >= 0.9 * a.seconds / coalesce(d.interval_seconds, 60)) AS covers, sum(a.seconds) AS seconds, sum(a.seconds / coalesce(d.interval_seconds, 60)) AS expected
        FROM (
            SELECT m.meter_id, m.vehicle_id, h.hour, h.kwh, h.readings, engine.hour_seconds(h.hour, p_from, p_to) AS seconds
            FROM engine.meter_hours(p_from, p_to, p_meter_cuts, p_meter_ids) AS h
            JOIN engine.mapping AS m ON m.meter_id = h.device_id AND m.valid_from <= greatest(h.hour, p_from) AND m.valid_to >= least(h.hour + interval '1 hour', p_to)
            UNION ALL SELECT c.meter_id, c.vehicle_id, c.hour, s.kwh, s.readings_count, engine.hour_seconds(c.hour, c.part_from, c.part_to)
            FROM engine.cut_mapping_hours(p_from, p_to, p_meter_ids) AS c
            CROSS JOIN LATERAL (
                SELECT sum(r.kwh) AS kwh, sum(r.readings_count)::bigint AS readings_count FROM engine.meter_sums(c.part_from, c.part_to, c.meter_id, NULL) AS r HAVING count(*) > 0
            ) AS s
        ) AS a
        LEFT JOIN public.device AS d ON d.kind = 'meter' AND d.device_id = a.meter_id
        WHERE p_vehicle_ids IS NULL OR a.vehicle_id = ANY (p_vehicle_ids)
        GROUP BY 1, 2
    ) AS ac ON ac.vehicle_id = dc.device_id AND ac.hour = dc.hour
    LEFT JOIN public.device AS d ON d.kind = 'vehicle' AND d.device_id = coalesce(dc.device_id, ac.vehicle_id)
$$;
COMMENT ON FUNCTION engine.vehicle_hour_pairs(timestamptz, timestamptz, engine.period_cuts, engine.period_cuts, text[], text[]) IS 'AC energy of a vehicle''s meters and its DC energy (kWh) by the hour over [from, to), null where nothing was received, the readings on both sides and those expected, the meter when it is one, and whether its meters cover nine tenths of the hour';

CREATE OR REPLACE FUNCTION engine.hour_seconds(p_hour timestamptz, p_from timestamptz, p_to timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN p_hour >= p_from AND p_hour + interval '1 hour' <= p_to THEN 3600
    ELSE extract(epoch FROM least(p_hour + interval '1 hour', p_to) - greatest(p_hour, p_from))::double precision END;
COMMENT ON FUNCTION engine.hour_seconds(timestamptz, timestamptz, timestamptz) IS 'How many seconds of an hour lie in [from, to)';

CREATE OR REPLACE FUNCTION engine.cut_mapping_hours(p_from timestamptz, p_to timestamptz, p_meter_ids text[])
RETURNS TABLE (meter_id text, vehicle_id text, hour timestamptz, part_from timestamptz, part_to timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT DISTINCT m.meter_id, m.vehicle_id, h.hour, greatest(m.valid_from, h.hour, p_from), least(m.valid_to, h.hour + interval '1 hour', p_to)
    FROM engine.mapping AS m
    CROSS JOIN LATERAL (VALUES (date_bin('1 hour', m.valid_from, 'epoch')), (date_bin('1 hour', m.valid_to, 'epoch'))) AS h (hour)
    WHERE (p_meter_ids IS NULL OR m.meter_id = ANY (p_meter_ids)) AND (m.valid_from > p_from OR m.valid_to < p_to) AND isfinite(h.hour)
        AND greatest(m.valid_from, h.hour, p_from) < least(m.valid_to, h.hour + interval '1 hour', p_to)
        AND (m.valid_from > greatest(h.hour, p_from) OR m.valid_to < least(h.hour + interval '1 hour', p_to))
$$;
COMMENT ON FUNCTION engine.cut_mapping_hours(timestamptz, timestamptz, text[]) IS 'Hours in [from, to) in which a mapping begins or ends (null: of any meter), and the part of each in which it holds';

-- An hour is paired when both sides cover nine tenths of it and the vehicle took no energy that the meter knows nothing of.
CREATE OR REPLACE FUNCTION engine.judged_hours(
    p_from timestamptz, p_to timestamptz, p_meter_cuts engine.period_cuts, p_vehicle_cuts engine.period_cuts, p_vehicle_ids text[], p_meter_ids text[]
) RETURNS TABLE (
    vehicle_id text, meter_id text, hour timestamptz, kwh_ac numeric, kwh_dc numeric, meter_heard double precision, vehicle_heard double precision, paired boolean,
    vehicle_silent boolean, meter_silent boolean, standby boolean, elsewhere boolean, stuck boolean, too_many boolean
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT h.vehicle_id, h.meter_id, h.hour, h.kwh_ac, h.kwh_dc, least(coalesce(h.meter_readings, 0), h.meter_expected), least(coalesce(h.vehicle_readings, 0), h.vehicle_expected),
        h.meter_covers AND c.vehicle_covers AND NOT f.elsewhere AND NOT f.stuck,
        h.kwh_ac > 0 AND NOT c.vehicle_covers, h.kwh_dc > 0 AND NOT h.meter_covers,
        h.meter_covers AND c.vehicle_covers AND h.kwh_ac > 0 AND h.kwh_dc = 0 AND NOT f.stuck, f.elsewhere, f.stuck,
        h.meter_readings > ceil(h.meter_expected) * 1.05 + 1 OR h.vehicle_readings > ceil(h.vehicle_expected) * 1.05 + 1
    FROM engine.vehicle_hour_pairs(p_from, p_to, p_meter_cuts, p_vehicle_cuts, p_vehicle_ids, p_meter_ids) AS h
    CROSS JOIN LATERAL (SELECT coalesce(h.vehicle_readings, 0) >= 0.9 * h.vehicle_expected AS vehicle_covers) AS c
    CROSS JOIN LATERAL (
        SELECT coalesce(h.meter_covers AND h.kwh_dc > 0 AND h.kwh_ac = 0, false) AS elsewhere,
            CASE WHEN h.kwh_ac > 0 AND h.kwh_dc = 0 AND h.max_soc - h.min_soc >= 2
                THEN engine.soc_rises(h.vehicle_id, greatest(h.hour, p_from), least(h.hour + interval '1 hour', p_to)) ELSE false END AS stuck
    ) AS f
$$;
COMMENT ON FUNCTION engine.judged_hours(timestamptz, timestamptz, engine.period_cuts, engine.period_cuts, text[], text[]) IS 'What is to be thought of each hour of a vehicle: AC and DC energy (kWh), readings that count for coverage, and which reasons hold';

CREATE OR REPLACE FUNCTION engine.soc_rises(p_vehicle_id text, p_from timestamptz, p_to timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN coalesce((
        SELECT (array_agg(r.soc ORDER BY r.ts DESC))[1] - (array_agg(r.soc ORDER BY r.ts))[1] >= 2
        FROM public.vehicle_telemetry_history AS r
        WHERE r.vehicle_id = p_vehicle_id AND r.ts >= p_from AND r.ts < p_to AND r.soc IS NOT NULL
    ), false);
END
$$;
COMMENT ON FUNCTION engine.soc_rises(text, timestamptz, timestamptz) IS 'Whether a vehicle''s state of charge is two points higher at the end of [from, to) than at its start; false where history is no longer kept';

CREATE OR REPLACE FUNCTION engine.cut_sessions(p_at timestamptz, p_vehicle_ids text[]) RETURNS TABLE (vehicle_id text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.vehicle_id FROM public.vehicle_telemetry_history AS r
    WHERE r.ts >= p_at - interval '15 minutes' AND r.ts < p_at + interval '15 minutes' AND r.kwh_delivered_dc > 0 AND (p_vehicle_ids IS NULL OR r.vehicle_id = ANY (p_vehicle_ids))
    GROUP BY r.vehicle_id
    HAVING min(r.ts) FILTER (WHERE r.ts >= p_at) - max(r.ts) FILTER (WHERE r.ts < p_at) <= interval '15 minutes'
$$;
COMMENT ON FUNCTION engine.cut_sessions(timestamptz, text[]) IS 'Vehicles, or those of the ones named, that have a charging session under way at a time: energy before and after it, 15 minutes apart at most';

CREATE OR REPLACE FUNCTION engine.reason(p_reason text, p_kwh numeric, p_from timestamptz, p_to timestamptz) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object('reason', p_reason, 'kwh', round(p_kwh, 4), 'from', engine.rfc3339(p_from), 'to', engine.rfc3339(p_to))
$$;
COMMENT ON FUNCTION engine.reason(text, numeric, timestamptz, timestamptz) IS 'A reason, the energy concerned (kWh), and the hours in which it holds, from the first to the end of the last';

CREATE OR REPLACE FUNCTION engine.evidence_sums(p_from timestamptz, p_to timestamptz, p_vehicle_ids text[], p_meter_id text, p_by_meter boolean)
RETURNS TABLE (
    device_id text, kwh_ac numeric, kwh_dc numeric, meter_heard double precision, vehicle_heard double precision, paired_ac numeric, paired_dc numeric, reasons jsonb[]
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET hash_mem_multiplier = 16 SET enable_nestloop = off AS $$
DECLARE
    v_meter_cuts engine.period_cuts := engine.cut_period('meter', p_from, p_to, p_vehicle_ids IS NULL, false);
    v_vehicle_cuts engine.period_cuts := engine.cut_period('vehicle', p_from, p_to, p_vehicle_ids IS NULL, false);
    v_meter_ids text[] := CASE WHEN p_vehicle_ids IS NOT NULL THEN ARRAY(
        SELECT DISTINCT m.meter_id FROM engine.mapping AS m
        WHERE m.vehicle_id = ANY (p_vehicle_ids) AND m.valid_from < p_to AND m.valid_to > p_from AND (p_meter_id IS NULL OR m.meter_id = p_meter_id)) END;
BEGIN
    RETURN QUERY
        WITH judged AS MATERIALIZED (
            SELECT CASE WHEN p_by_meter THEN h.meter_id ELSE h.vehicle_id END AS device_id, h.*
            FROM engine.judged_hours(p_from, p_to, v_meter_cuts, v_vehicle_cuts, p_vehicle_ids, v_meter_ids) AS h
            WHERE h.meter_id IS NOT NULL OR NOT p_by_meter
        ), s AS MATERIALIZED (
            SELECT j.device_id, sum(j.kwh_ac) AS ac, sum(j.kwh_dc) AS dc, sum(j.meter_heard) AS meter_heard, sum(j.vehicle_heard) AS vehicle_heard,
                sum(j.kwh_ac) FILTER (WHERE j.paired) AS paired_ac, sum(j.kwh_dc) FILTER (WHERE j.paired) AS paired_dc,
                sum(j.kwh_ac) FILTER (WHERE j.vehicle_silent) AS vs, min(j.hour) FILTER (WHERE j.vehicle_silent) AS vs_from, max(j.hour) FILTER (WHERE j.vehicle_silent) AS vs_to,
                sum(j.kwh_dc) FILTER (WHERE j.meter_silent) AS ms, min(j.hour) FILTER (WHERE j.meter_silent) AS ms_from, max(j.hour) FILTER (WHERE j.meter_silent) AS ms_to,
                sum(j.kwh_ac) FILTER (WHERE j.standby) AS sd, min(j.hour) FILTER (WHERE j.standby) AS sd_from, max(j.hour) FILTER (WHERE j.standby) AS sd_to,
                sum(j.kwh_dc) FILTER (WHERE j.elsewhere) AS ce, min(j.hour) FILTER (WHERE j.elsewhere) AS ce_from, max(j.hour) FILTER (WHERE j.elsewhere) AS ce_to,
                sum(j.kwh_ac) FILTER (WHERE j.stuck) AS es, min(j.hour) FILTER (WHERE j.stuck) AS es_from, max(j.hour) FILTER (WHERE j.stuck) AS es_to,
                sum(coalesce(j.kwh_ac, 0) + coalesce(j.kwh_dc, 0)) FILTER (WHERE j.too_many) AS tm, min(j.hour) FILTER (WHERE j.too_many) AS tm_from, max(j.hour) FILTER (WHERE j.too_many) AS tm_to
            FROM judged AS j
            GROUP BY j.device_id
        )
        SELECT s.device_id, s.ac, s.dc, s.meter_heard, s.vehicle_heard, s.paired_ac, s.paired_dc, array_remove(ARRAY[
            CASE WHEN s.dc > s.ac THEN engine.reason('ratioAboveOne', s.dc - s.ac, p_from, p_to) END,
            CASE WHEN s.vs > 0 THEN engine.hours_reason('vehicleSilent', s.vs, s.vs_from, s.vs_to, p_from, p_to) END,
            CASE WHEN s.ms > 0 THEN engine.hours_reason('meterSilent', s.ms, s.ms_from, s.ms_to, p_from, p_to) END,
            CASE WHEN s.sd > 0.05 * s.ac THEN engine.hours_reason('standbyDraw', s.sd, s.sd_from, s.sd_to, p_from, p_to) END,
            CASE WHEN s.ce > 0 THEN engine.hours_reason('chargedElsewhere', s.ce, s.ce_from, s.ce_to, p_from, p_to) END,
            CASE WHEN s.tm IS NOT NULL THEN engine.hours_reason('tooManyReadings', s.tm, s.tm_from, s.tm_to, p_from, p_to) END,
            CASE WHEN s.es > 0 THEN engine.hours_reason('energyStuck', s.es, s.es_from, s.es_to, p_from, p_to) END
        ], NULL)
        FROM s;
END
$$;
COMMENT ON FUNCTION engine.evidence_sums(timestamptz, timestamptz, text[], text, boolean) IS 'The judged hours of each vehicle (of those named, limited to one meter if there is one), or of each meter that served one vehicle alone, summed over [from, to): AC and DC energy (kWh), readings that count for coverage, the same energies of paired hours, and the reasons that lie in hours';

CREATE OR REPLACE FUNCTION engine.hours_reason(p_reason text, p_kwh numeric, p_first timestamptz, p_last timestamptz, p_from timestamptz, p_to timestamptz) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT engine.reason(p_reason, p_kwh, greatest(p_first, p_from), least(p_last + interval '1 hour', p_to)) $$;
COMMENT ON FUNCTION engine.hours_reason(text, numeric, timestamptz, timestamptz, timestamptz, timestamptz) IS 'A reason that holds in hours from the first to the last, as far as they lie in [from, to); energy in kWh';

CREATE OR REPLACE FUNCTION engine.verdict(p_kwh_ac numeric, p_kwh_dc numeric, p_implausible boolean, p_reasons bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_implausible OR p_kwh_dc > p_kwh_ac AND p_kwh_ac > 0 THEN 'implausible'
    WHEN coalesce(p_kwh_ac, 0) = 0 AND coalesce(p_kwh_dc, 0) = 0 THEN 'idle'
    WHEN coalesce(p_kwh_ac, 0) = 0 THEN 'unmetered'
    WHEN p_reasons > 0 THEN 'partial'
    ELSE 'sound'
END;
COMMENT ON FUNCTION engine.verdict(numeric, numeric, boolean, bigint) IS 'What is to be thought of a ratio: sound, partial (there are reasons why it may be off), implausible (above 1, or of implausible readings), idle (no energy moved) or unmetered (no AC energy known); energies in kWh';

CREATE OR REPLACE FUNCTION engine.fleet_evidence(p_from timestamptz, p_to timestamptz, p_vehicle_ids text[] DEFAULT NULL, p_meter_id text DEFAULT NULL)
RETURNS TABLE (
    vehicle_id text, kwh_ac numeric, kwh_dc numeric, meter_heard double precision, vehicle_heard double precision, paired_ratio numeric, paired_share numeric, verdict text, reasons jsonb
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
BEGIN
    RETURN QUERY
        SELECT s.device_id, s.kwh_ac, s.kwh_dc, s.meter_heard, s.vehicle_heard, engine.efficiency_ratio(s.paired_ac, s.paired_dc),
            round(coalesce(s.paired_ac, 0) / nullif(s.kwh_ac, 0), 4),
            engine.verdict(s.kwh_ac, s.kwh_dc, i.kwh IS NOT NULL, cardinality(r.reasons)), array_to_json(r.reasons)::jsonb
        FROM engine.evidence_sums(p_from, p_to, p_vehicle_ids, p_meter_id, false) AS s
        LEFT JOIN engine.cut_sessions(p_from, p_vehicle_ids) AS a ON a.vehicle_id = s.device_id
        LEFT JOIN engine.cut_sessions(p_to, p_vehicle_ids) AS b ON b.vehicle_id = s.device_id
        LEFT JOIN engine.implausible_energy(p_from, p_to, p_meter_id) AS i ON i.vehicle_id = s.device_id
        LEFT JOIN engine.shared_meters(p_from, p_to, p_meter_id) AS x ON x.vehicle_id = s.device_id
        CROSS JOIN LATERAL (
            SELECT s.reasons || array_remove(ARRAY[
                CASE WHEN a.vehicle_id IS NOT NULL THEN engine.reason('cutSession', NULL, p_from, p_from) END,
                CASE WHEN b.vehicle_id IS NOT NULL THEN engine.reason('cutSession', NULL, p_to, p_to) END,
                CASE WHEN i.kwh IS NOT NULL THEN engine.reason('implausibleReading', i.kwh, i.since, i.until) END,
                CASE WHEN x.kwh IS NOT NULL THEN engine.reason('sharedMeter', x.kwh, p_from, p_to) END
            ], NULL) AS reasons OFFSET 0
        ) AS r;
END
$$;
COMMENT ON FUNCTION engine.fleet_evidence(timestamptz, timestamptz, text[], text) IS 'Evidence for each vehicle, or those named, limited to one meter if there is one, over [from, to): AC and DC energy (kWh), readings that count for coverage, ratio and share of the AC energy of the paired hours, verdict and reasons';
