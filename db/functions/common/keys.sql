-- API keys: made and revoked by operators, looked up by the service (service/access/).

-- Versions are numbered under a lock that is held until commit: who has seen version n has seen every one before it, so a
-- service that asks for what is newer than the newest it knows misses nothing, whoever made the change and however.
CREATE OR REPLACE FUNCTION engine.note_key_change() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
        RAISE EXCEPTION 'keys are revoked, never deleted: a service that knows one would not notice'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM pg_advisory_xact_lock('engine.api_key'::regclass::oid::integer, 0);
    NEW.version := engine.key_version() + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION engine.note_key_change() IS 'Trigger: numbers a change of a key, and refuses to delete one';

CREATE OR REPLACE TRIGGER note_change BEFORE INSERT OR UPDATE OR DELETE ON engine.api_key
FOR EACH ROW EXECUTE FUNCTION engine.note_key_change();
CREATE OR REPLACE TRIGGER refuse_truncate BEFORE TRUNCATE ON engine.api_key
FOR EACH STATEMENT EXECUTE FUNCTION engine.note_key_change();

CREATE OR REPLACE FUNCTION engine.create_key(
    p_id text, p_name text, p_scopes text[], p_device_id text, p_device_prefix text, p_salt bytea, p_hash bytea
) RETURNS void LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO engine.api_key (id, name, scopes, device_id, device_prefix, salt, hash)
    VALUES (p_id, p_name, p_scopes, p_device_id, p_device_prefix, p_salt, p_hash)
$$;
COMMENT ON FUNCTION engine.create_key(text, text, text[], text, text, bytea, bytea) IS 'Adds a key (parameters: see engine.api_key); fails with unique_violation when a good key has that name';

CREATE OR REPLACE FUNCTION engine.rotate_key(p_key text, p_salt bytea, p_hash bytea) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE engine.api_key SET salt = p_salt, hash = p_hash, rotated_at = clock_timestamp()
    WHERE p_key IN (id, name) AND revoked_at IS NULL RETURNING id
$$;
COMMENT ON FUNCTION engine.rotate_key(text, bytea, bytea) IS 'Replaces the secret of a key given by name or id and returns its id; null when no good key is called that';

CREATE OR REPLACE FUNCTION engine.revoke_key(p_key text) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE engine.api_key SET revoked_at = clock_timestamp()
    WHERE p_key IN (id, name) AND revoked_at IS NULL RETURNING id
$$;
COMMENT ON FUNCTION engine.revoke_key(text) IS 'Revokes a key given by name or id and returns its id; null when no good key is called that';

CREATE OR REPLACE FUNCTION engine.keys()
RETURNS TABLE (
    id text, name text, scopes text[], device_id text, device_prefix text, created_at timestamptz,
    rotated_at timestamptz, revoked_at timestamptz
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.id, k.name, k.scopes, k.device_id, k.device_prefix, k.created_at, k.rotated_at, k.revoked_at
    FROM engine.api_key AS k ORDER BY k.created_at, k.id
$$;
COMMENT ON FUNCTION engine.keys() IS 'Every key, revoked ones too, oldest first, without its salt and hash';

-- The service's role may ask these and nothing else about keys; they take values, never names or text of SQL.

CREATE OR REPLACE FUNCTION engine.find_keys(p_after bigint)
RETURNS TABLE (
    id text, name text, scopes text[], device_id text, device_prefix text, salt bytea, hash bytea, version bigint,
    revoked boolean
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.id, k.name, k.scopes, k.device_id, k.device_prefix, k.salt, k.hash, k.version, k.revoked_at IS NOT NULL
    FROM engine.api_key AS k WHERE k.version > p_after
$$;
COMMENT ON FUNCTION engine.find_keys(bigint) IS 'Keys that changed after a version, revoked ones too';

CREATE OR REPLACE FUNCTION engine.key_version() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT coalesce(max(k.version), 0) FROM engine.api_key AS k $$;
COMMENT ON FUNCTION engine.key_version() IS 'Number of the latest change of any key; 0 when there is none';

CREATE OR REPLACE FUNCTION engine.has_keys() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT EXISTS (SELECT FROM engine.api_key AS k WHERE k.revoked_at IS NULL) $$;
COMMENT ON FUNCTION engine.has_keys() IS 'Whether there is a key that is not revoked';
