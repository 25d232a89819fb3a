-- Reasons that do not lie in hours: implausible readings, and meters that served several vehicles.

CREATE OR REPLACE FUNCTION engine.implausible_energy(p_from timestamptz, p_to timestamptz, p_meter_id text)
RETURNS TABLE (vehicle_id text, kwh numeric, since timestamptz, until timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT v.vehicle_id, sum(v.kwh), min(v.ts), max(v.ts)
    FROM (
        SELECT i.device_id AS vehicle_id, i.kwh, i.ts FROM engine.implausible_reading AS i WHERE i.stream = 'vehicle' AND i.ts >= p_from AND i.ts < p_to
        UNION ALL SELECT m.vehicle_id, i.kwh, i.ts
        FROM engine.implausible_reading AS i JOIN engine.mapping AS m ON m.meter_id = i.device_id AND i.ts >= m.valid_from AND i.ts < m.valid_to
        WHERE i.stream = 'meter' AND i.ts >= p_from AND i.ts < p_to AND (p_meter_id IS NULL OR i.device_id = p_meter_id)
    ) AS v
    GROUP BY v.vehicle_id
$$;
COMMENT ON FUNCTION engine.implausible_energy(timestamptz, timestamptz, text) IS 'Energy (kWh) of the implausible readings of each vehicle and of the meters mapped to it, or one of them, over [from, to), with the first and the last of them';

CREATE OR REPLACE FUNCTION engine.shared_meters(p_from timestamptz, p_to timestamptz, p_meter_id text) RETURNS TABLE (vehicle_id text, kwh numeric)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.vehicle_id, sum(s.kwh)
    FROM engine.mapping AS m
    JOIN (
        SELECT o.meter_id FROM engine.mapping AS o WHERE o.valid_from < p_to AND o.valid_to > p_from
        GROUP BY o.meter_id HAVING count(DISTINCT o.vehicle_id) > 1
    ) AS shared USING (meter_id)
    CROSS JOIN LATERAL engine.meter_sums(greatest(m.valid_from, p_from), least(m.valid_to, p_to), m.meter_id, NULL) AS s
    WHERE m.valid_from < p_to AND m.valid_to > p_from AND (p_meter_id IS NULL OR m.meter_id = p_meter_id)
    GROUP BY m.vehicle_id
$$;
COMMENT ON FUNCTION engine.shared_meters(timestamptz, timestamptz, text) IS 'AC energy (kWh) that each vehicle drew from meters (null: any) that served another vehicle too within [from, to)';
