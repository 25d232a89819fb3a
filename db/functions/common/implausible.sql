-- What answers say about the implausible readings that they are made of.

CREATE OR REPLACE FUNCTION engine.implausible_warning(p_from timestamptz, p_to timestamptz, p_vehicle_id text, p_meter_id text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN (
        SELECT format('Implausible readings hold %s kWh: %s%s; check the device, and void them if they are wrong',
            sum(d.kwh),
            string_agg(format('%s %s sent %s in %s reading%s (up to %s kW)', d.stream, d.device_id, d.kwh, d.readings, CASE WHEN d.readings > 1 THEN 's' END, round(d.kw)), ', ' ORDER BY d.place)
                FILTER (WHERE d.place <= 3),
            CASE WHEN count(*) > 3 THEN format(', and %s more', count(*) - 3) END)
        FROM (
            SELECT i.stream, i.device_id, sum(i.kwh) AS kwh, count(*) AS readings, max(i.kw) AS kw,
                row_number() OVER (ORDER BY sum(i.kwh) DESC, i.stream, i.device_id) AS place
            FROM engine.implausible_reading AS i
            WHERE i.ts >= p_from AND i.ts < p_to AND (
                p_vehicle_id IS NULL
                OR i.stream = 'vehicle' AND i.device_id = p_vehicle_id
                OR i.stream = 'meter' AND (p_meter_id IS NULL OR i.device_id = p_meter_id) AND EXISTS (
                    SELECT FROM engine.mapping AS m
                    WHERE m.meter_id = i.device_id AND m.vehicle_id = p_vehicle_id AND i.ts >= m.valid_from AND i.ts < m.valid_to
                )
            )
            GROUP BY i.stream, i.device_id
        ) AS d
        HAVING count(*) > 0
    );
END
$$;
COMMENT ON FUNCTION engine.implausible_warning(timestamptz, timestamptz, text, text) IS 'Names the devices whose implausible readings over [from, to) are part of a vehicle''s answer (null: of the fleet''s), with their energy (kWh) and power (kW); a meter limits the AC side to it; null when there are none';
