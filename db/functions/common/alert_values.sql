-- What the rules watch: a value for each device that is known, null where the value is not known now.

CREATE OR REPLACE FUNCTION engine.alert_kinds() RETURNS TABLE (kind text, alerts_below boolean, every interval, unit text, what text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES
        ('lowEfficiency', true, interval '5 minutes', '', 'efficiency ratio of the last 24 hours'),
        ('silent', false, '30 seconds', ' s', 'silent for'),
        ('hotBattery', false, '30 seconds', ' °C', 'battery temperature'),
        ('voltage', false, '30 seconds', ' V', 'voltage outside its band by'),
        ('implausible', false, '30 seconds', '', 'implausible readings in the last hour'),
        ('noReadings', false, '30 seconds', ' s', 'no reading of the whole fleet for')
$$;
COMMENT ON FUNCTION engine.alert_kinds() IS 'The kinds of alert rules: whether a low value is the bad one, how often they are evaluated, and the unit and name of the value';

CREATE OR REPLACE FUNCTION engine.silence_values(p_at timestamptz) RETURNS TABLE (stream text, device_id text, value numeric)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.stream, s.device_id, CASE WHEN p_at - s.last_reading_at < 2.5 * make_interval(secs => coalesce(d.interval_seconds, 60)) THEN 0
        ELSE round(extract(epoch FROM p_at - s.last_reading_at), 1) END
    FROM (
        SELECT 'meter' AS stream, m.meter_id AS device_id, m.last_reading_at FROM engine.meter_state AS m
        UNION ALL SELECT 'vehicle', v.vehicle_id, v.last_reading_at FROM engine.vehicle_state AS v
    ) AS s
    LEFT JOIN public.device AS d ON d.kind = s.stream AND d.device_id = s.device_id
$$;
COMMENT ON FUNCTION engine.silence_values(timestamptz) IS 'How long each device has been silent, in seconds; 0 within two and a half of its intervals';

CREATE OR REPLACE FUNCTION engine.alert_values(p_kind text, p_at timestamptz) RETURNS TABLE (stream text, device_id text, value numeric)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CASE p_kind
    WHEN 'silent' THEN
        RETURN QUERY SELECT s.* FROM engine.silence_values(p_at) AS s;
    WHEN 'hotBattery' THEN
        RETURN QUERY SELECT 'vehicle', v.vehicle_id, v.battery_temp::numeric FROM engine.vehicle_state AS v;
    WHEN 'voltage' THEN
        RETURN QUERY SELECT 'meter', m.meter_id, CASE WHEN m.voltage IS NOT NULL THEN greatest(s.voltage_min - m.voltage, m.voltage - s.voltage_max, 0) END
        FROM engine.meter_state AS m CROSS JOIN engine.settings AS s;
    WHEN 'implausible' THEN
        RETURN QUERY SELECT d.stream, d.device_id, count(r.ts)::numeric
        FROM engine.silence_values(p_at) AS d
        LEFT JOIN engine.implausible_reading AS r ON r.stream = d.stream AND r.device_id = d.device_id AND r.ts > p_at - interval '1 hour' AND r.ts <= p_at
        GROUP BY d.stream, d.device_id;
    WHEN 'noReadings' THEN
        RETURN QUERY SELECT 'fleet', '', round(extract(epoch FROM p_at - n.newest), 1)
        FROM (SELECT greatest((SELECT max(m.last_reading_at) FROM engine.meter_state AS m), (SELECT max(v.last_reading_at) FROM engine.vehicle_state AS v)) AS newest) AS n
        WHERE n.newest IS NOT NULL;
    WHEN 'lowEfficiency' THEN
        RETURN QUERY SELECT 'vehicle', v.vehicle_id, CASE WHEN e.paired_share >= 0.5 THEN e.paired_ratio END
        FROM engine.vehicle_state AS v LEFT JOIN engine.fleet_evidence(p_at - interval '24 hours', p_at) AS e ON e.vehicle_id = v.vehicle_id;
    END CASE;
END
$$;
COMMENT ON FUNCTION engine.alert_values(text, timestamptz) IS 'Value that the rules of a kind watch, for each device (its id empty for the fleet); null where it is not known';
