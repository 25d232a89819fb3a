-- The fleet's energy and efficiency: what its meters consumed, by the vehicles that they served.

-- A meter that serves one vehicle throughout needs no more than its sum; one that changes hands has a period for each mapping.
CREATE OR REPLACE FUNCTION engine.remapped_meter_energy(p_from timestamptz, p_to timestamptz) RETURNS TABLE (vehicle_id text, kwh numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
        WITH part AS MATERIALIZED (
            SELECT m.meter_id, m.vehicle_id, s.source, s.part_from, s.part_to
            FROM engine.mapping AS m
            CROSS JOIN LATERAL engine.split_period('meter', m.meter_id, greatest(m.valid_from, p_from), least(m.valid_to, p_to), false) AS s
            WHERE m.valid_from < p_to AND m.valid_to > p_from AND (m.valid_from > p_from OR m.valid_to < p_to)
        )
        SELECT p.vehicle_id, sum(r.kwh_consumed_ac) FROM part AS p
        JOIN public.meter_telemetry_history AS r ON r.meter_id = p.meter_id AND r.ts >= p.part_from AND r.ts < p.part_to
        WHERE p.source = 'reading' AND r.ts >= p_from AND r.ts < p_to GROUP BY p.vehicle_id
        UNION ALL SELECT p.vehicle_id, sum(b.total_kwh_consumed_ac) FROM part AS p
        JOIN engine.meter_15min AS b ON b.meter_id = p.meter_id AND b.bucket >= p.part_from AND b.bucket < p.part_to
        WHERE p.source = '15min' AND b.bucket >= p_from AND b.bucket < p_to GROUP BY p.vehicle_id
        UNION ALL SELECT p.vehicle_id, sum(b.total_kwh_consumed_ac) FROM part AS p
        JOIN engine.meter_hourly AS b ON b.meter_id = p.meter_id AND b.bucket >= p.part_from AND b.bucket < p.part_to
        WHERE p.source = 'hourly' AND b.bucket >= p_from AND b.bucket < p_to GROUP BY p.vehicle_id;
END
$$;
COMMENT ON FUNCTION engine.remapped_meter_energy(timestamptz, timestamptz) IS 'AC energy (kWh) for each vehicle of the meters that were mapped to it for a part of [from, to); the rows of a vehicle add up';

CREATE OR REPLACE FUNCTION engine.fleet_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh_ac numeric, kwh_dc numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET hash_mem_multiplier = 8 AS $$
DECLARE
    v_meter_cuts engine.period_cuts := engine.cut_period('meter', p_from, p_to, true, true);
    v_vehicle_cuts engine.period_cuts := engine.cut_period('vehicle', p_from, p_to, true, true);
BEGIN
    RETURN QUERY
        WITH energy AS MATERIALIZED (
            SELECT true AS is_meter, m.device_id, sum(m.kwh) AS kwh FROM engine.meter_energy_parts(p_from, p_to, v_meter_cuts) AS m GROUP BY m.device_id
            UNION ALL SELECT false, v.device_id, sum(v.kwh) FROM engine.vehicle_energy_parts(p_from, p_to, v_vehicle_cuts) AS v GROUP BY v.device_id
        ), ac AS MATERIALIZED (
            SELECT a.vehicle_id, sum(a.kwh) AS kwh FROM (
                SELECT m.vehicle_id, e.kwh FROM energy AS e JOIN engine.mapping AS m ON m.meter_id = e.device_id
                WHERE e.is_meter AND m.valid_from <= p_from AND m.valid_to >= p_to
                UNION ALL SELECT r.vehicle_id, r.kwh FROM engine.remapped_meter_energy(p_from, p_to) AS r
            ) AS a GROUP BY a.vehicle_id
        )
        SELECT coalesce(dc.device_id, ac.vehicle_id), ac.kwh, dc.kwh
        FROM (SELECT e.device_id, e.kwh FROM energy AS e WHERE NOT e.is_meter) AS dc FULL JOIN ac ON ac.vehicle_id = dc.device_id
        UNION ALL SELECT NULL, sum(e.kwh) - coalesce((SELECT sum(ac.kwh) FROM ac), 0), NULL FROM energy AS e WHERE e.is_meter;
END
$$;
COMMENT ON FUNCTION engine.fleet_energy(timestamptz, timestamptz) IS 'AC and DC energy (kWh) of every vehicle over [from, to), null where nothing was received; the row without a vehicle holds what meters consumed while mapped to none';

CREATE OR REPLACE FUNCTION public.vehicle_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    vehicle_id text, total_kwh_consumed_ac numeric, total_kwh_delivered_dc numeric, efficiency_ratio numeric, efficiency_status text
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT e.vehicle_id, e.kwh_ac, e.kwh_dc, r.ratio, engine.efficiency_status(r.ratio, s)
        FROM engine.fleet_energy(p_from, p_to) AS e CROSS JOIN engine.settings AS s
        CROSS JOIN LATERAL (SELECT engine.efficiency_ratio(e.kwh_ac, e.kwh_dc) AS ratio) AS r
        WHERE e.vehicle_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION public.vehicle_energy(timestamptz, timestamptz) IS 'Energy (kWh) and efficiency of every vehicle over [from, to), in no order: AC is what its meters consumed while mapped to it, null where nothing was received';

CREATE OR REPLACE FUNCTION public.fleet_efficiency(p_hours integer DEFAULT 24, p_period_end timestamptz DEFAULT now())
RETURNS TABLE (
    total_vehicles bigint, avg_efficiency_ratio numeric, vehicles_with_warnings bigint, vehicles_critical bigint,
    total_kwh_consumed_ac numeric, total_kwh_delivered_dc numeric, total_energy_loss numeric, period_start timestamptz,
    period_end timestamptz, warning text
) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_start timestamptz := engine.period_start(p_hours, p_period_end);
BEGIN
    RETURN QUERY
        WITH vehicle AS (
            SELECT e.kwh_ac AS ac, e.kwh_dc AS dc, engine.efficiency_ratio(e.kwh_ac, e.kwh_dc) AS ratio
            FROM engine.fleet_energy(v_start, p_period_end) AS e
        )
        SELECT
            count(v.dc),
            engine.efficiency_ratio(sum(v.ac) FILTER (WHERE v.ac > 0 AND v.dc IS NOT NULL), sum(v.dc) FILTER (WHERE v.ac > 0)),
            count(*) FILTER (WHERE v.ratio >= s.efficiency_critical AND v.ratio < s.efficiency_warning),
            count(*) FILTER (WHERE v.ratio < s.efficiency_critical),
            coalesce(sum(v.ac), 0), coalesce(sum(v.dc), 0),
            coalesce(sum(v.ac - v.dc) FILTER (WHERE v.ac > 0), 0),
            v_start, p_period_end, engine.implausible_warning(v_start, p_period_end, NULL, NULL)
        FROM engine.settings AS s LEFT JOIN vehicle AS v ON true
        GROUP BY s.id;
END
$$;
COMMENT ON FUNCTION public.fleet_efficiency(integer, timestamptz) IS 'Energy (kWh) and efficiency of the fleet over the hours before period_end (start included, end excluded); ratio and loss over vehicles with readings and AC energy, the totals over all that was received; the warning names implausible readings';
