-- History: append-only, one row a reading, known by (device, ts).
-- depends: 0001.foundation

-- 28.8 million rows a day in two streams: a chunk a day holds 14.4 million rows (about 2 GB with its index), gives
-- the columnstore 1,440 rows a device to compress together and leaves 90 chunks a stream to plan over.
CREATE TABLE public.meter_telemetry_history (
    meter_id text COLLATE "C" NOT NULL,
    ts timestamptz NOT NULL,
    kwh_consumed_ac numeric(12, 4) NOT NULL,
    voltage numeric(8, 4) NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (meter_id, ts)
);
SELECT public.create_hypertable('public.meter_telemetry_history', public.by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
-- Rows arrive almost in time order: a block-range index finds ten minutes of the whole fleet for next to nothing.
CREATE INDEX meter_telemetry_history_ts ON public.meter_telemetry_history USING brin (ts) WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE public.meter_telemetry_history SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'meter_id',
    timescaledb.orderby = 'ts'
);
CALL public.add_columnstore_policy('public.meter_telemetry_history', after => INTERVAL '3 days');

COMMENT ON TABLE public.meter_telemetry_history IS 'Every meter reading acknowledged within its retention (grid side), unique per meter and time';
COMMENT ON COLUMN public.meter_telemetry_history.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_telemetry_history.ts IS 'Time of the reading as the meter told it';
COMMENT ON COLUMN public.meter_telemetry_history.kwh_consumed_ac IS 'AC energy drawn from the grid in the reading''s interval, in kWh';
COMMENT ON COLUMN public.meter_telemetry_history.voltage IS 'Grid voltage in V';
COMMENT ON COLUMN public.meter_telemetry_history.ingested_at IS 'Start of the transaction that stored the reading';

CREATE TABLE public.vehicle_telemetry_history (
    vehicle_id text COLLATE "C" NOT NULL,
    ts timestamptz NOT NULL,
    soc numeric(7, 4) NOT NULL,
    kwh_delivered_dc numeric(12, 4) NOT NULL,
    battery_temp numeric(7, 4) NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (vehicle_id, ts)
);
SELECT public.create_hypertable('public.vehicle_telemetry_history', public.by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
CREATE INDEX vehicle_telemetry_history_ts ON public.vehicle_telemetry_history USING brin (ts) WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE public.vehicle_telemetry_history SET (
    timescaledb.enable_columnstore,
    timescaledb.segmentby = 'vehicle_id',
    timescaledb.orderby = 'ts'
);
CALL public.add_columnstore_policy('public.vehicle_telemetry_history', after => INTERVAL '3 days');

COMMENT ON TABLE public.vehicle_telemetry_history IS 'Every vehicle reading acknowledged within its retention (battery side), unique per vehicle and time';
COMMENT ON COLUMN public.vehicle_telemetry_history.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_telemetry_history.ts IS 'Time of the reading as the vehicle told it';
COMMENT ON COLUMN public.vehicle_telemetry_history.soc IS 'State of charge in percent';
COMMENT ON COLUMN public.vehicle_telemetry_history.kwh_delivered_dc IS 'DC energy that reached the battery in the reading''s interval, in kWh';
COMMENT ON COLUMN public.vehicle_telemetry_history.battery_temp IS 'Battery temperature in °C';
COMMENT ON COLUMN public.vehicle_telemetry_history.ingested_at IS 'Start of the transaction that stored the reading';
