DROP TYPE engine.vehicle_sums;
DROP TYPE engine.meter_sums;
DELETE FROM engine.stale_hour AS h USING engine.stale_hour AS o
WHERE (h.stream, h.device_id, h.bucket) = (o.stream, o.device_id, o.bucket) AND h.ctid > o.ctid;
DROP INDEX engine.stale_hour_device;
ALTER TABLE engine.stale_hour ADD PRIMARY KEY (stream, device_id, bucket);
CREATE TABLE engine.one_horizon (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    meter_history_from timestamptz NOT NULL DEFAULT '-infinity',
    vehicle_history_from timestamptz NOT NULL DEFAULT '-infinity',
    promised_before timestamptz NOT NULL DEFAULT '-infinity',
    rolled_up_before timestamptz NOT NULL,
    trusted boolean NOT NULL DEFAULT true,
    claimed boolean NOT NULL DEFAULT false,
    day_totals_after timestamptz NOT NULL DEFAULT 'infinity'
);
INSERT INTO engine.one_horizon (meter_history_from, vehicle_history_from, promised_before, rolled_up_before)
SELECT
    max(h.history_from) FILTER (WHERE h.stream = 'meter'), max(h.history_from) FILTER (WHERE h.stream = 'vehicle'),
    max(h.late_before), date_bin('1 hour', min(h.rolled_up_before), 'epoch')
FROM engine.horizon AS h
HAVING count(*) > 0;
DROP TABLE engine.horizon;
ALTER TABLE engine.one_horizon RENAME TO horizon;
ALTER TABLE engine.horizon RENAME CONSTRAINT one_horizon_pkey TO horizon_pkey;
ALTER TABLE engine.horizon RENAME CONSTRAINT one_horizon_id_check TO horizon_id_check;
