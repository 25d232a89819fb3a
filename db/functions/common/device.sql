-- Devices: what is known of them beside their readings.

CREATE OR REPLACE FUNCTION engine.interval_seconds(p_kind text, p_device_id text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT d.interval_seconds FROM public.device AS d WHERE d.kind = p_kind AND d.device_id = p_device_id), 60)
$$;
COMMENT ON FUNCTION engine.interval_seconds(text, text) IS 'Seconds from one reading of a device to the next; 60 unless its description says otherwise';
