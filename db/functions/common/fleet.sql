-- The fleet's energy and efficiency: what its meters consumed (fleet_energy.sql) by the vehicles that they served.

-- Meters that change hands inside the period, each mapping with hours and edges of its own. (A meter that serves one
-- vehicle throughout needs no more than its sum.)
CREATE OR REPLACE FUNCTION engine.fleet_shared_meter_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
        WITH mapping AS MATERIALIZED (
            SELECT m.meter_id, m.vehicle_id, p.valid_from, p.valid_to, s.hours_from, s.hours_to
            FROM public.device_mapping AS m
            CROSS JOIN LATERAL (SELECT greatest(m.valid_from, p_from) AS valid_from, least(m.valid_to, p_to) AS valid_to) AS p
            CROSS JOIN LATERAL engine.split_period(p.valid_from, p.valid_to) AS s
            WHERE m.valid_from < p_to AND m.valid_to > p_from AND (m.valid_from > p_from OR m.valid_to < p_to)
        ), raw_part AS MATERIALIZED (
            SELECT m.meter_id, m.vehicle_id, m.valid_from AS part_from, m.hours_from AS part_to FROM mapping AS m
            UNION ALL
            SELECT m.meter_id, m.vehicle_id, m.hours_to, m.valid_to FROM mapping AS m
            UNION ALL
            SELECT m.meter_id, m.vehicle_id, s.bucket, s.bucket + interval '1 hour'
            FROM mapping AS m
            JOIN engine.stale_hour AS s
                ON s.stream = 'meter' AND s.device_id = m.meter_id AND s.bucket >= m.hours_from AND s.bucket < m.hours_to
        )
        SELECT m.vehicle_id, sum(h.total_kwh_consumed_ac)
        FROM mapping AS m
        JOIN public.meter_telemetry_hourly AS h
            ON h.meter_id = m.meter_id AND h.bucket >= m.hours_from AND h.bucket < m.hours_to
        WHERE h.bucket >= p_from AND h.bucket < p_to
            AND NOT EXISTS (
                SELECT FROM engine.stale_hour AS s
                WHERE s.stream = 'meter' AND s.device_id = h.meter_id AND s.bucket = h.bucket
            )
        GROUP BY m.vehicle_id
        UNION ALL
        SELECT p.vehicle_id, sum(r.kwh_consumed_ac)
        FROM raw_part AS p
        JOIN public.meter_telemetry_history AS r
            ON r.meter_id = p.meter_id AND r.ts >= p.part_from AND r.ts < p.part_to
        WHERE r.ts >= p_from AND r.ts < p_to
        GROUP BY p.vehicle_id;
END
$$;
COMMENT ON FUNCTION engine.fleet_shared_meter_energy(timestamptz, timestamptz) IS
    'AC energy (kWh) that meters mapped for part of [from, to) consumed for each vehicle; several rows a vehicle add up';

CREATE OR REPLACE FUNCTION engine.fleet_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (vehicle_id text, kwh_ac numeric, kwh_dc numeric)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH meter AS MATERIALIZED (
            SELECT e.meter_id, sum(e.kwh) AS kwh FROM engine.fleet_meter_energy(p_from, p_to) AS e
            GROUP BY e.meter_id
            HAVING sum(e.readings) > 0
        ), ac AS MATERIALIZED (
            SELECT a.vehicle_id, sum(a.kwh) AS kwh
            FROM (
                SELECT m.vehicle_id, meter.kwh
                FROM meter
                JOIN public.device_mapping AS m ON m.meter_id = meter.meter_id
                WHERE m.valid_from <= p_from AND m.valid_to >= p_to
                UNION ALL
                SELECT s.vehicle_id, s.kwh FROM engine.fleet_shared_meter_energy(p_from, p_to) AS s
            ) AS a
            GROUP BY a.vehicle_id
        ), dc AS (
            SELECT e.vehicle_id, sum(e.kwh) AS kwh FROM engine.fleet_vehicle_energy(p_from, p_to) AS e
            GROUP BY e.vehicle_id
            HAVING sum(e.readings) > 0
        )
        SELECT coalesce(dc.vehicle_id, ac.vehicle_id), ac.kwh, dc.kwh
        FROM dc
        FULL JOIN ac ON ac.vehicle_id = dc.vehicle_id
        UNION ALL
        SELECT NULL, (SELECT sum(meter.kwh) FROM meter) - coalesce((SELECT sum(ac.kwh) FROM ac), 0), NULL;
END
$$;
COMMENT ON FUNCTION engine.fleet_energy(timestamptz, timestamptz) IS
    'AC and DC energy (kWh) of every vehicle over [from, to), null where nothing was received; the row without a vehicle holds what meters consumed while mapped to none';

CREATE OR REPLACE FUNCTION public.vehicle_energy(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    vehicle_id text,
    total_kwh_consumed_ac numeric,
    total_kwh_delivered_dc numeric,
    efficiency_ratio numeric,
    efficiency_status text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM engine.check_period(p_from, p_to);
    RETURN QUERY
        SELECT e.vehicle_id, e.kwh_ac, e.kwh_dc, r.ratio, engine.efficiency_status(r.ratio, s)
        FROM engine.fleet_energy(p_from, p_to) AS e
        CROSS JOIN LATERAL (SELECT engine.efficiency_ratio(e.kwh_ac, e.kwh_dc) AS ratio) AS r
        CROSS JOIN engine.settings AS s
        WHERE e.vehicle_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION public.vehicle_energy(timestamptz, timestamptz) IS
    'Energy (kWh) and efficiency of every vehicle over [from, to), in no order: AC is what its meters consumed while mapped to it, null where nothing was received';

CREATE OR REPLACE FUNCTION public.fleet_efficiency(p_hours integer DEFAULT 24, p_period_end timestamptz DEFAULT now())
RETURNS TABLE (
    total_vehicles bigint,
    avg_efficiency_ratio numeric,
    vehicles_with_warnings bigint,
    vehicles_critical bigint,
    total_kwh_consumed_ac numeric,
    total_kwh_delivered_dc numeric,
    total_energy_loss numeric,
    period_start timestamptz,
    period_end timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
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
            coalesce(sum(v.ac), 0),
            coalesce(sum(v.dc), 0),
            coalesce(sum(v.ac - v.dc) FILTER (WHERE v.ac > 0), 0),
            v_start,
            p_period_end
        FROM engine.settings AS s
        LEFT JOIN vehicle AS v ON true
        GROUP BY s.id;
END
$$;
COMMENT ON FUNCTION public.fleet_efficiency(integer, timestamptz) IS
    'Energy (kWh) and efficiency of the fleet over the hours before period_end (start included, end excluded); ratio and loss over vehicles with readings and AC energy, the totals over all that was received';
