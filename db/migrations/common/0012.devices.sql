-- Devices: what is known of a meter or a vehicle beside its readings.
-- depends: 0011.unknown_measures

CREATE TABLE public.device (
    kind text NOT NULL CHECK (kind IN ('meter', 'vehicle')),
    device_id text COLLATE "C" NOT NULL,
    label text,
    depot text,
    rated_kw numeric CHECK (rated_kw > 0),
    capacity_kwh numeric CHECK (capacity_kwh IS NULL OR capacity_kwh > 0 AND kind = 'vehicle'),
    interval_seconds integer NOT NULL DEFAULT 60 CHECK (interval_seconds BETWEEN 1 AND 86400),
    PRIMARY KEY (kind, device_id)
);
CREATE INDEX device_depot ON public.device (depot, kind, device_id);
COMMENT ON TABLE public.device IS 'Descriptions of devices; a device needs none to be known';
COMMENT ON COLUMN public.device.kind IS 'meter or vehicle';
COMMENT ON COLUMN public.device.device_id IS 'Meter or vehicle id';
COMMENT ON COLUMN public.device.label IS 'Name for people; null: none';
COMMENT ON COLUMN public.device.depot IS 'Depot that the device belongs to; null: none';
COMMENT ON COLUMN public.device.rated_kw IS 'Rated power in kW; a reading above one and a half times it is implausible; null: unknown';
COMMENT ON COLUMN public.device.capacity_kwh IS 'Capacity of a vehicle''s battery in kWh; null: unknown';
COMMENT ON COLUMN public.device.interval_seconds IS 'Seconds from one reading to the next';
