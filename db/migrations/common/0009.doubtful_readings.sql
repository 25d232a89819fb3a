-- Readings in doubt: those that were voided, those that are implausible, and those that were refused.
-- depends: 0008.clock

CREATE TABLE public.voided_reading (
    stream text NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    device_id text COLLATE "C" NOT NULL,
    ts timestamptz NOT NULL,
    kwh numeric(12, 4) NOT NULL,
    voltage numeric(8, 4),
    soc numeric(7, 4),
    battery_temp numeric(7, 4),
    ingested_at timestamptz NOT NULL,
    voided_at timestamptz NOT NULL DEFAULT now(),
    voided_by text NOT NULL
);
CREATE INDEX voided_reading_device ON public.voided_reading (stream, device_id, ts);
COMMENT ON TABLE public.voided_reading IS 'Readings that were voided: they left history and every answer; kept for as long as history is';
COMMENT ON COLUMN public.voided_reading.stream IS 'meter or vehicle';
COMMENT ON COLUMN public.voided_reading.device_id IS 'Meter or vehicle id';
COMMENT ON COLUMN public.voided_reading.ts IS 'Time of the reading as the device told it';
COMMENT ON COLUMN public.voided_reading.kwh IS 'Energy of the reading in kWh: AC of a meter, DC of a vehicle';
COMMENT ON COLUMN public.voided_reading.voltage IS 'Grid voltage in V; null for vehicles';
COMMENT ON COLUMN public.voided_reading.soc IS 'State of charge in percent; null for meters';
COMMENT ON COLUMN public.voided_reading.battery_temp IS 'Battery temperature in °C; null for meters';
COMMENT ON COLUMN public.voided_reading.ingested_at IS 'Start of the transaction that had stored the reading';
COMMENT ON COLUMN public.voided_reading.voided_at IS 'Start of the transaction that voided it';
COMMENT ON COLUMN public.voided_reading.voided_by IS 'Name and id of the key that voided it, or what did it without a key';

-- A table of their own, since hardly a reading is one: a column would cost every row of history.
CREATE TABLE engine.implausible_reading (
    stream text NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    device_id text COLLATE "C" NOT NULL,
    ts timestamptz NOT NULL,
    kwh numeric(12, 4) NOT NULL,
    kw numeric NOT NULL,
    PRIMARY KEY (stream, device_id, ts)
);
CREATE INDEX implausible_reading_ts ON engine.implausible_reading (ts);
COMMENT ON TABLE engine.implausible_reading IS 'Readings whose mean power was implausible when they came: they count, and answers that they are part of say so';
COMMENT ON COLUMN engine.implausible_reading.stream IS 'meter or vehicle';
COMMENT ON COLUMN engine.implausible_reading.device_id IS 'Meter or vehicle id';
COMMENT ON COLUMN engine.implausible_reading.ts IS 'Time of the reading';
COMMENT ON COLUMN engine.implausible_reading.kwh IS 'Energy of the reading in kWh';
COMMENT ON COLUMN engine.implausible_reading.kw IS 'Mean power in kW since the reading before it';

ALTER TABLE engine.settings ADD COLUMN max_plausible_kw numeric NOT NULL DEFAULT 1000;
COMMENT ON COLUMN engine.settings.max_plausible_kw IS 'Mean power in kW above which a reading is implausible';

CREATE TABLE engine.refusal (
    device text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    field text,
    readings bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (device, reason)
);
COMMENT ON TABLE engine.refusal IS 'The latest refused readings, counted by device and reason; services write them every few seconds, and the oldest of too many go';
COMMENT ON COLUMN engine.refusal.device IS 'meter: or vehicle: and an id (? when it is no id), or unknown';
COMMENT ON COLUMN engine.refusal.reason IS 'Why the readings were refused, without the times that differ from reading to reading';
COMMENT ON COLUMN engine.refusal.field IS 'Field that was wrong; null when it was none in particular';
COMMENT ON COLUMN engine.refusal.readings IS 'Number of readings';
COMMENT ON COLUMN engine.refusal.first_at IS 'When the first of them was refused';
COMMENT ON COLUMN engine.refusal.last_at IS 'When the latest of them was refused';
