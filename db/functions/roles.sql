-- Applied last: what each role may do with everything above.

-- Without a password nobody logs in as analyst but where the server trusts its clients anyway (the private database).
-- The settings are defaults for those who log in as analyst, and a session may change them: a long question stays
-- possible. That nothing can be written rests on the privileges below alone.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['analyst', 'ev_engine'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_role);
                IF v_role = 'analyst' THEN
                    ALTER ROLE analyst LOGIN;
                    ALTER ROLE analyst SET statement_timeout = '60s';
                    ALTER ROLE analyst SET idle_in_transaction_session_timeout = '5min';
                    ALTER ROLE analyst SET default_transaction_read_only = on;
                    ALTER ROLE analyst SET timezone = 'UTC';
                END IF;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this cluster was migrated just now
        END;
    END LOOP;
    -- Whoever migrates may also serve; where that takes an administrator, the service says so when it starts.
    BEGIN
        GRANT ev_engine TO CURRENT_USER;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
END
$$;

-- What would let an analyst stop ingest or upkeep, or fill the disk, is taken away. Where the owner of the database is no
-- superuser, the server refuses some of it.
DO $$
DECLARE
    v_statement text;
BEGIN
    FOR v_statement IN
        -- Writers and jobs wait for each other's advisory locks: nobody else may take one in this database.
        SELECT pg_catalog.format('REVOKE EXECUTE ON FUNCTION %1$s FROM PUBLIC; GRANT EXECUTE ON FUNCTION %1$s TO ev_engine', p.oid::regprocedure)
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^pg_(try_)?advisory_'
        -- An administrator may set other limits.
        UNION ALL SELECT 'ALTER ROLE analyst CONNECTION LIMIT 40' FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'analyst' AND r.rolconnlimit = -1
        UNION ALL SELECT 'ALTER ROLE analyst SET temp_file_limit = ''10GB'''
        WHERE NOT EXISTS (
            SELECT FROM pg_catalog.pg_db_role_setting AS s JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
            WHERE r.rolname = 'analyst' AND s.setconfig::text LIKE '%temp_file_limit%'
        )
        -- engine.end_long_questions() ends sessions of analysts.
        UNION ALL SELECT 'GRANT analyst TO CURRENT_USER' WHERE NOT pg_catalog.pg_has_role(current_user, 'analyst', 'MEMBER')
    LOOP
        BEGIN
            EXECUTE v_statement;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
    END LOOP;
END
$$;

-- From nothing: what an older version granted and this one does not is gone.
REVOKE ALL ON ALL TABLES IN SCHEMA engine FROM analyst, ev_engine;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA engine FROM PUBLIC, analyst, ev_engine;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA engine FROM PUBLIC, analyst, ev_engine;

GRANT USAGE ON SCHEMA public, engine TO analyst, ev_engine;
GRANT SELECT ON
    public.meter_telemetry_history, public.vehicle_telemetry_history,
    public.meter_telemetry_15min, public.meter_telemetry_hourly, public.meter_telemetry_daily,
    public.vehicle_telemetry_15min, public.vehicle_telemetry_hourly, public.vehicle_telemetry_daily,
    public.meter_current_status, public.vehicle_current_status, public.device_mapping,
    public.voided_reading, public.device, public.alert, public.alert_rule
TO analyst, ev_engine;
GRANT EXECUTE ON FUNCTION
    public.vehicle_performance(text, integer, timestamptz, text), public.vehicle_trend(text, integer, timestamptz),
    public.vehicle_energy(timestamptz, timestamptz), public.fleet_efficiency(integer, timestamptz),
    public.fleet_trend(timestamptz, timestamptz, text), public.fleet_vehicles(timestamptz, timestamptz), public.fleet_chargers(timestamptz, timestamptz),
    public.fleet_overview()
TO analyst, ev_engine;

-- What the relations and functions above are made of runs as the analyst too: every function of the engine that only reads.
GRANT SELECT ON
    engine.meter_reading, engine.meter_15min, engine.meter_hourly, engine.meter_6hourly, engine.meter_daily,
    engine.vehicle_reading, engine.vehicle_15min, engine.vehicle_hourly, engine.vehicle_6hourly, engine.vehicle_daily
TO analyst, ev_engine;
GRANT SELECT ON
    engine.settings, engine.retention, engine.horizon, engine.stale_hour, engine.mapping, engine.meter_state, engine.vehicle_state,
    engine.implausible_reading
TO analyst;
DO $$
DECLARE
    v_function text;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'engine'::regnamespace AND p.prokind = 'f' AND p.provolatile <> 'v' AND NOT p.prosecdef
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO analyst', v_function);
    END LOOP;
END
$$;

-- The service adds to history; it can neither change nor delete what is there, but for voiding it. Functions do what they do with its rights,
-- but for those that act as the owner.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA engine TO ev_engine;
GRANT EXECUTE ON PROCEDURE engine.run_upkeep, engine.apply_retention TO ev_engine;
GRANT INSERT ON public.meter_telemetry_history, public.vehicle_telemetry_history TO ev_engine;
GRANT SELECT ON engine.settings, engine.retention, engine.horizon TO ev_engine;
GRANT SELECT ON engine.stale_hour TO ev_engine;
GRANT SELECT, INSERT, UPDATE ON engine.meter_state, engine.vehicle_state, engine.upkeep TO ev_engine;
GRANT SELECT, INSERT, DELETE ON engine.mapping TO ev_engine;
GRANT SELECT, INSERT, UPDATE ON engine.implausible_reading TO ev_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON engine.refusal TO ev_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.device, public.alert, public.alert_rule, engine.alert_pending, engine.alert_evaluation, engine.alert_notice, engine.alert_transition, engine.alert_target TO ev_engine;
-- Whether it is ready depends on whether the schema is the one that it was made for.
GRANT USAGE ON SCHEMA migration TO ev_engine;
GRANT SELECT ON ALL TABLES IN SCHEMA migration TO ev_engine;
