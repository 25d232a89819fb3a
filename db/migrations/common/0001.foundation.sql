-- What both editions share: settings, the rollup horizon, hot status, the device mapping, retention, upkeep, keys.
-- depends:

CREATE SCHEMA engine;
COMMENT ON SCHEMA engine IS 'Internals of the EV Ingestion Engine; what analysts need is in schema public';

CREATE TABLE engine.settings (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    efficiency_excellent numeric NOT NULL DEFAULT 0.92,
    efficiency_warning numeric NOT NULL DEFAULT 0.85,
    efficiency_critical numeric NOT NULL DEFAULT 0.75,
    battery_temp_warning numeric NOT NULL DEFAULT 45,
    battery_temp_critical numeric NOT NULL DEFAULT 55,
    voltage_min numeric NOT NULL DEFAULT 80,
    voltage_max numeric NOT NULL DEFAULT 520,
    offline_after interval NOT NULL DEFAULT '300 seconds',
    fleet_timezone text NOT NULL DEFAULT 'UTC'
);
INSERT INTO engine.settings DEFAULT VALUES;
COMMENT ON TABLE engine.settings IS 'The one row of thresholds that HTTP and SQL share; the service writes it from its environment at every start';
COMMENT ON COLUMN engine.settings.id IS 'Always true: there is one row';
COMMENT ON COLUMN engine.settings.efficiency_excellent IS 'Lowest efficiency ratio (DC/AC) called excellent';
COMMENT ON COLUMN engine.settings.efficiency_warning IS 'Lowest efficiency ratio (DC/AC) called good; below it a warning';
COMMENT ON COLUMN engine.settings.efficiency_critical IS 'Lowest efficiency ratio (DC/AC) called warning; below it critical';
COMMENT ON COLUMN engine.settings.battery_temp_warning IS 'Battery temperature in °C from which a vehicle is listed as a warning';
COMMENT ON COLUMN engine.settings.battery_temp_critical IS 'Battery temperature in °C from which a vehicle is critical';
COMMENT ON COLUMN engine.settings.voltage_min IS 'Lowest voltage in V at which a meter is not in error';
COMMENT ON COLUMN engine.settings.voltage_max IS 'Highest voltage in V at which a meter is not in error';
COMMENT ON COLUMN engine.settings.offline_after IS 'Silence after which a device is offline';
COMMENT ON COLUMN engine.settings.fleet_timezone IS 'IANA time zone whose midnight starts a new daily total';

CREATE TABLE engine.retention (
    relation text PRIMARY KEY,
    keep interval
);
INSERT INTO engine.retention (relation, keep) VALUES
    ('meter_telemetry_history', '90 days'),
    ('vehicle_telemetry_history', '90 days'),
    ('meter_telemetry_hourly', '2 years'),
    ('vehicle_telemetry_hourly', '2 years'),
    ('meter_telemetry_daily', NULL),
    ('vehicle_telemetry_daily', NULL);
COMMENT ON TABLE engine.retention IS 'How long each relation keeps its rows';
COMMENT ON COLUMN engine.retention.relation IS 'Name of a history or rollup relation in schema public';
COMMENT ON COLUMN engine.retention.keep IS 'Age at which rows may be dropped; null keeps them for ever';

CREATE TABLE engine.upkeep (
    job text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    runs bigint NOT NULL DEFAULT 1,
    successes bigint NOT NULL DEFAULT 0,
    error text
);
COMMENT ON TABLE engine.upkeep IS 'What the service ran for the database, where that has no scheduler of its own; read it through engine.policies()';
COMMENT ON COLUMN engine.upkeep.job IS 'Procedure in schema engine';
COMMENT ON COLUMN engine.upkeep.started_at IS 'Start of the latest run';
COMMENT ON COLUMN engine.upkeep.finished_at IS 'End of the latest run that succeeded';
COMMENT ON COLUMN engine.upkeep.runs IS 'Runs so far, the one under way among them';
COMMENT ON COLUMN engine.upkeep.successes IS 'Runs that succeeded';
COMMENT ON COLUMN engine.upkeep.error IS 'What the latest failure said';

-- Invariant, while trusted: a reading with ts < rolled_up_before is either in its hourly rollup or its (device, hour) is in
-- engine.stale_hour, in every snapshot. So a refresh promises first and is believed last: it commits promised_before, from
-- where writers note stale hours; waits for those who did not see that (they hold engine.lock_horizon() in share mode
-- until commit; engine.await_writers); refreshes; and only then moves rolled_up_before, which answers go by.
CREATE TABLE engine.horizon (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    meter_history_from timestamptz NOT NULL DEFAULT '-infinity',
    vehicle_history_from timestamptz NOT NULL DEFAULT '-infinity',
    promised_before timestamptz NOT NULL DEFAULT '-infinity',
    rolled_up_before timestamptz NOT NULL,
    trusted boolean NOT NULL DEFAULT true,
    claimed boolean NOT NULL DEFAULT false,
    day_totals_after timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE engine.horizon IS 'The one row of limits between dropped, rolled-up and raw history';
COMMENT ON COLUMN engine.horizon.id IS 'Always true: there is one row';
COMMENT ON COLUMN engine.horizon.meter_history_from IS 'Meter history before this time has been dropped; older readings are refused';
COMMENT ON COLUMN engine.horizon.vehicle_history_from IS 'Vehicle history before this time has been dropped; older readings are refused';
COMMENT ON COLUMN engine.horizon.promised_before IS 'Readings older than this are late: their hours have been rolled up or are about to be';
COMMENT ON COLUMN engine.horizon.rolled_up_before IS 'Hours before this time are answered from rollups, later ones from raw history';
COMMENT ON COLUMN engine.horizon.trusted IS 'False after history was written past the engine: all is answered from raw history until a full refresh has caught up';
COMMENT ON COLUMN engine.horizon.claimed IS 'That full refresh is under way; set back to false by whoever writes past the engine again meanwhile';
COMMENT ON COLUMN engine.horizon.day_totals_after IS 'Days that began after this time may be answered from the daily totals of hot status; moved when history is written past the engine, which those do not see';

CREATE TABLE engine.stale_hour (
    stream text NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    device_id text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    claimed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (stream, device_id, bucket)
);
CREATE INDEX stale_hour_bucket ON engine.stale_hour (stream, bucket);
COMMENT ON TABLE engine.stale_hour IS 'Device hours whose history changed after they were rolled up: answers read them from raw history until a refresh has caught up';
COMMENT ON COLUMN engine.stale_hour.stream IS 'meter or vehicle';
COMMENT ON COLUMN engine.stale_hour.device_id IS 'Meter or vehicle id';
COMMENT ON COLUMN engine.stale_hour.bucket IS 'Start of the hour (UTC)';
COMMENT ON COLUMN engine.stale_hour.claimed IS 'A refresh is under way; set back to false by whoever changes the hour again meanwhile';

-- Hot status. Half-empty pages keep the updates heap-only: no index entry is written for a heartbeat.
CREATE TABLE engine.meter_state (
    meter_id text COLLATE "C" PRIMARY KEY,
    last_reading_at timestamptz NOT NULL,
    kwh_consumed_ac numeric(12, 4) NOT NULL,
    voltage numeric(8, 4) NOT NULL,
    day date NOT NULL,
    day_kwh numeric NOT NULL,
    next_day_kwh numeric NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE engine.meter_state IS 'Latest reading and daily totals of every meter; read it through meter_current_status';
COMMENT ON COLUMN engine.meter_state.meter_id IS 'Meter id';
COMMENT ON COLUMN engine.meter_state.last_reading_at IS 'Time of the latest reading (by its own time, not by arrival)';
COMMENT ON COLUMN engine.meter_state.kwh_consumed_ac IS 'AC energy of the latest reading in kWh';
COMMENT ON COLUMN engine.meter_state.voltage IS 'Voltage of the latest reading in V';
COMMENT ON COLUMN engine.meter_state.day IS 'Local day (fleet time zone) of the latest update';
COMMENT ON COLUMN engine.meter_state.day_kwh IS 'AC energy of all readings of that day in kWh';
COMMENT ON COLUMN engine.meter_state.next_day_kwh IS 'AC energy in kWh of readings already stamped with the day after it: device clocks may run ahead over midnight';

CREATE TABLE engine.vehicle_state (
    vehicle_id text COLLATE "C" PRIMARY KEY,
    last_reading_at timestamptz NOT NULL,
    soc numeric(7, 4) NOT NULL,
    kwh_delivered_dc numeric(12, 4) NOT NULL,
    battery_temp numeric(7, 4) NOT NULL,
    previous_reading_at timestamptz,
    previous_soc numeric(7, 4),
    day date NOT NULL,
    day_kwh numeric NOT NULL,
    next_day_kwh numeric NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE engine.vehicle_state IS 'Two latest readings and daily totals of every vehicle; read it through vehicle_current_status';
COMMENT ON COLUMN engine.vehicle_state.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN engine.vehicle_state.last_reading_at IS 'Time of the latest reading (by its own time, not by arrival)';
COMMENT ON COLUMN engine.vehicle_state.soc IS 'State of charge of the latest reading in percent';
COMMENT ON COLUMN engine.vehicle_state.kwh_delivered_dc IS 'DC energy of the latest reading in kWh';
COMMENT ON COLUMN engine.vehicle_state.battery_temp IS 'Battery temperature of the latest reading in °C';
COMMENT ON COLUMN engine.vehicle_state.previous_reading_at IS 'Time of the reading before the latest';
COMMENT ON COLUMN engine.vehicle_state.previous_soc IS 'State of charge of the reading before the latest in percent';
COMMENT ON COLUMN engine.vehicle_state.day IS 'Local day (fleet time zone) of the latest update';
COMMENT ON COLUMN engine.vehicle_state.day_kwh IS 'DC energy of all readings of that day in kWh';
COMMENT ON COLUMN engine.vehicle_state.next_day_kwh IS 'DC energy in kWh of readings already stamped with the day after it: device clocks may run ahead over midnight';

-- A range type over ids lets core PostgreSQL's GiST compare them, so that the database itself guarantees
-- "one vehicle a meter at a time" without an extension that small installations lack.
CREATE TYPE engine.id_range AS RANGE (subtype = text, collation = "C");
COMMENT ON TYPE engine.id_range IS 'Range of ids; used as [id, id] to compare ids in an exclusion constraint';

CREATE TABLE public.device_mapping (
    meter_id text COLLATE "C" NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (meter_id, valid_from),
    CHECK (valid_from < valid_to),
    CONSTRAINT device_mapping_one_vehicle_a_meter EXCLUDE USING gist (
        engine.id_range(meter_id, meter_id, '[]') WITH &&,
        tstzrange(valid_from, valid_to) WITH &&
    )
);
CREATE INDEX device_mapping_vehicle ON public.device_mapping (vehicle_id, valid_from);
COMMENT ON TABLE public.device_mapping IS 'Which vehicle charges at which meter and when; a meter serves one vehicle at a time';
COMMENT ON COLUMN public.device_mapping.meter_id IS 'Meter id';
COMMENT ON COLUMN public.device_mapping.vehicle_id IS 'Vehicle that the meter''s energy is attributed to';
COMMENT ON COLUMN public.device_mapping.valid_from IS 'First instant of the mapping (included); -infinity: since ever';
COMMENT ON COLUMN public.device_mapping.valid_to IS 'End of the mapping (excluded); infinity: until further notice';

-- A secret is 256 random bits, so nobody can try them all: one salted SHA-256 is as good as a slow password hash, and
-- a heartbeat cannot afford the latter. The salt keeps equal secrets, which no two keys ever have, from showing.
CREATE TABLE engine.api_key (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[0-9a-f]{12}$'),
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[^[:cntrl:][:space:]]{1,64}$' AND name !~ '^[0-9a-f]{12}$'),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['ingest', 'read', 'admin']),
    device_id text COLLATE "C" CHECK (length(device_id) BETWEEN 1 AND 64),
    device_prefix text COLLATE "C" CHECK (length(device_prefix) BETWEEN 1 AND 64),
    salt bytea NOT NULL CHECK (length(salt) = 16),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_key_bound_keys_only_ingest CHECK (
        num_nonnulls(device_id, device_prefix) = 0
        OR num_nonnulls(device_id, device_prefix) = 1 AND scopes = ARRAY['ingest']
    )
);
CREATE UNIQUE INDEX api_key_name ON engine.api_key (name) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX api_key_version ON engine.api_key (version);
COMMENT ON TABLE engine.api_key IS 'Who may call the service and for what; a key is shown once as ev_<id>_<secret>, of which only a salted hash is kept; never deleted, only revoked';
COMMENT ON COLUMN engine.api_key.id IS 'Public part of the key, 12 hexadecimal digits';
COMMENT ON COLUMN engine.api_key.name IS 'What people call it; unique among keys that are not revoked';
COMMENT ON COLUMN engine.api_key.scopes IS 'What it may do: ingest, read, admin';
COMMENT ON COLUMN engine.api_key.device_id IS 'The one device whose readings it may send; null: not bound to one';
COMMENT ON COLUMN engine.api_key.device_prefix IS 'What the ids of the devices begin with whose readings it may send; null: not bound so';
COMMENT ON COLUMN engine.api_key.salt IS '16 random bytes before the secret in the hash';
COMMENT ON COLUMN engine.api_key.hash IS 'SHA-256 of salt and secret';
COMMENT ON COLUMN engine.api_key.version IS 'Number of the latest change; changes are numbered in the order in which they become visible';
COMMENT ON COLUMN engine.api_key.created_at IS 'When it was created';
COMMENT ON COLUMN engine.api_key.rotated_at IS 'When its secret was last replaced; null: never';
COMMENT ON COLUMN engine.api_key.revoked_at IS 'When it was revoked; null: it is good';
