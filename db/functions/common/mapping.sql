-- The device mapping: a new mapping takes over its meter for the whole of its validity.

CREATE OR REPLACE VIEW public.device_mapping AS
SELECT m.meter_id, m.vehicle_id, nullif(m.valid_from, '-infinity') AS valid_from, nullif(m.valid_to, 'infinity') AS valid_to FROM engine.mapping AS m;
COMMENT ON VIEW public.device_mapping IS 'Which vehicle charges at which meter and when; a meter serves one vehicle at a time';
COMMENT ON COLUMN public.device_mapping.meter_id IS 'Meter id';
COMMENT ON COLUMN public.device_mapping.vehicle_id IS 'Vehicle that the meter''s energy is attributed to';
COMMENT ON COLUMN public.device_mapping.valid_from IS 'First instant of the mapping (included); null: since ever';
COMMENT ON COLUMN public.device_mapping.valid_to IS 'End of the mapping (excluded); null: until further notice';

CREATE OR REPLACE FUNCTION engine.map_device(
    p_meter_id text, p_vehicle_id text, p_from timestamptz DEFAULT NULL, p_to timestamptz DEFAULT NULL
) RETURNS TABLE (meter_id text, vehicle_id text, valid_from timestamptz, valid_to timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_mapping engine.mapping;
    v_same engine.mapping;
BEGIN
    PERFORM engine.lock_mapping(p_meter_id);
    v_mapping := (p_meter_id, p_vehicle_id, coalesce(p_from, CASE
        WHEN EXISTS (SELECT FROM engine.mapping AS m WHERE m.meter_id = p_meter_id) THEN clock_timestamp() ELSE '-infinity'
    END), coalesce(p_to, 'infinity'));
    PERFORM engine.clear_mapping(p_meter_id, NULL, v_mapping.valid_from, v_mapping.valid_to);
    -- Adjoining mappings of the same pair become one: mapping a pair twice leaves what mapping it once does.
    FOR v_same IN
        DELETE FROM engine.mapping AS m
        WHERE m.meter_id = p_meter_id AND m.vehicle_id = p_vehicle_id
            AND (m.valid_to = v_mapping.valid_from OR m.valid_from = v_mapping.valid_to)
        RETURNING m.*
    LOOP
        v_mapping.valid_from := least(v_mapping.valid_from, v_same.valid_from);
        v_mapping.valid_to := greatest(v_mapping.valid_to, v_same.valid_to);
    END LOOP;
    INSERT INTO engine.mapping (meter_id, vehicle_id, valid_from, valid_to) VALUES (v_mapping.*);
    RETURN QUERY SELECT e.* FROM engine.mapping_with_null_ends(v_mapping) AS e;
END
$$;
COMMENT ON FUNCTION engine.map_device(text, text, timestamptz, timestamptz) IS 'Maps a meter to a vehicle over [from, to), ending or splitting what was mapped there; from defaults to ever for a meter''s first mapping and to now later, to defaults to for ever; returns the mapping as it now stands, open ends as null';

CREATE OR REPLACE FUNCTION engine.mapping_with_null_ends(p_mapping engine.mapping)
RETURNS TABLE (meter_id text, vehicle_id text, valid_from timestamptz, valid_to timestamptz)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p_mapping.meter_id, p_mapping.vehicle_id, nullif(p_mapping.valid_from, '-infinity'), nullif(p_mapping.valid_to, 'infinity')
$$;
COMMENT ON FUNCTION engine.mapping_with_null_ends(engine.mapping) IS 'A mapping with null in place of infinity, for clients that have no infinite times';

CREATE OR REPLACE FUNCTION engine.unmap_device(
    p_meter_id text, p_vehicle_id text, p_from timestamptz DEFAULT NULL, p_to timestamptz DEFAULT NULL
) RETURNS boolean LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM engine.lock_mapping(p_meter_id);
    RETURN engine.clear_mapping(p_meter_id, p_vehicle_id, coalesce(p_from, clock_timestamp()), coalesce(p_to, 'infinity'));
END
$$;
COMMENT ON FUNCTION engine.unmap_device(text, text, timestamptz, timestamptz) IS 'Ends the mapping of a meter to a vehicle over [from, to), by default from now on; false when nothing was mapped there';

CREATE OR REPLACE FUNCTION engine.lock_mapping(p_meter_id text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ SELECT pg_advisory_xact_lock('engine.mapping'::regclass::oid::integer, hashtext(p_meter_id)) $$;
COMMENT ON FUNCTION engine.lock_mapping(text) IS 'Lets one transaction at a time change the mappings of a meter';

CREATE OR REPLACE FUNCTION engine.clear_mapping(p_meter_id text, p_vehicle_id text, p_from timestamptz, p_to timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_cleared engine.mapping[];
BEGIN
    IF p_from >= p_to THEN
        RAISE EXCEPTION 'to must be later than from' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH cleared AS (
        DELETE FROM engine.mapping AS m
        WHERE m.meter_id = p_meter_id AND (p_vehicle_id IS NULL OR m.vehicle_id = p_vehicle_id)
            AND m.valid_from < p_to AND m.valid_to > p_from
        RETURNING m.*
    )
    SELECT array_agg(cleared::engine.mapping) INTO v_cleared FROM cleared;
    INSERT INTO engine.mapping (meter_id, vehicle_id, valid_from, valid_to)
    SELECT c.meter_id, c.vehicle_id, c.valid_from, p_from FROM unnest(v_cleared) AS c WHERE c.valid_from < p_from
    UNION ALL
    SELECT c.meter_id, c.vehicle_id, p_to, c.valid_to FROM unnest(v_cleared) AS c WHERE c.valid_to > p_to;
    RETURN v_cleared IS NOT NULL;
END
$$;
COMMENT ON FUNCTION engine.clear_mapping(text, text, timestamptz, timestamptz) IS 'Cuts [from, to) out of a meter''s mappings (to one vehicle, or to any when null); false when there was nothing to cut, invalid_parameter_value when to is not later than from';

CREATE OR REPLACE FUNCTION engine.mappings(
    p_meter_id text DEFAULT NULL, p_vehicle_id text DEFAULT NULL, p_at timestamptz DEFAULT NULL
) RETURNS TABLE (meter_id text, vehicle_id text, valid_from timestamptz, valid_to timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.*
    FROM engine.mapping AS m
    CROSS JOIN LATERAL engine.mapping_with_null_ends(m) AS e
    WHERE (p_meter_id IS NULL OR m.meter_id = p_meter_id)
        AND (p_vehicle_id IS NULL OR m.vehicle_id = p_vehicle_id)
        AND (p_at IS NULL OR (m.valid_from <= p_at AND p_at < m.valid_to))
    ORDER BY m.meter_id, m.valid_from
$$;
COMMENT ON FUNCTION engine.mappings(text, text, timestamptz) IS 'Mappings by meter and start, past and future ones too; each argument that is not null narrows them; open ends as null';
