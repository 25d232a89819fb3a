-- The fleet that the cookbook (docs/sql.md) asks about: 12 to 25 January 2026, a reading a minute.
--   METER-1 charges VH-1 well, from 17:00 to 21:00 UTC.
--   METER-2 charges VH-2 badly, from 18:00 to 22:00.
--   METER-3 charges from 00:00 to 03:00; it is VH-3's until it is given to VH-4 on 19 January at 01:30, in the middle
--   of a charge, and it grows worse in the second week.
--   METER-4 is mapped to nobody. VH-5 has no meter, and a hot battery on 20 January.
-- VH-2 and METER-1 fall silent once; an hour of VH-3 comes in late.

INSERT INTO engine.mapping (meter_id, vehicle_id, valid_from, valid_to) VALUES
    ('METER-1', 'VH-1', '-infinity', 'infinity'),
    ('METER-2', 'VH-2', '-infinity', 'infinity'),
    ('METER-3', 'VH-3', '-infinity', '2026-01-19 01:30Z'),
    ('METER-3', 'VH-4', '2026-01-19 01:30Z', 'infinity');

INSERT INTO meter_telemetry_history (meter_id, ts, kwh_consumed_ac, voltage, ingested_at)
SELECT m.meter_id, t.ts, CASE WHEN t.hour >= m.from_hour AND t.hour < m.to_hour THEN m.kwh ELSE 0 END, 230, t.ts + interval '1 second'
FROM (VALUES
    ('METER-1', 17, 21, 0.18), ('METER-2', 18, 22, 0.12), ('METER-3', 0, 3, 0.20), ('METER-4', 8, 9, 0.05)
) AS m (meter_id, from_hour, to_hour, kwh)
CROSS JOIN (
    SELECT s.ts, extract(hour FROM s.ts AT TIME ZONE 'UTC') AS hour
    FROM generate_series(timestamptz '2026-01-12Z', '2026-01-25 23:59Z', '1 minute') AS s (ts)
) AS t
WHERE NOT (m.meter_id = 'METER-1' AND t.ts > '2026-01-21 10:00Z' AND t.ts < '2026-01-21 10:45Z')
ORDER BY 2;

INSERT INTO vehicle_telemetry_history (vehicle_id, ts, soc, kwh_delivered_dc, battery_temp, ingested_at)
SELECT
    v.vehicle_id, t.ts,
    50 + CASE WHEN c.charging THEN 30 ELSE 0 END,
    CASE WHEN c.charging THEN v.kwh * CASE WHEN v.vehicle_id = 'VH-4' AND t.ts >= '2026-01-20Z' THEN 0.95 ELSE 1 END ELSE 0 END,
    CASE
        WHEN v.vehicle_id = 'VH-5' AND t.ts >= '2026-01-20 14:10Z' AND t.ts < '2026-01-20 14:15Z' THEN 58.5
        WHEN c.charging THEN 33
        ELSE 24
    END,
    CASE WHEN v.vehicle_id = 'VH-3' AND t.ts >= '2026-01-14 01:00Z' AND t.ts < '2026-01-14 02:00Z' THEN '2026-01-14 06:00Z' ELSE t.ts + interval '2 seconds' END
FROM (VALUES
    ('VH-1', timestamptz '-infinity', timestamptz 'infinity', 17, 21, 0.1674), ('VH-2', '-infinity', 'infinity', 18, 22, 0.0936),
    ('VH-3', '-infinity', '2026-01-19 01:30Z', 0, 3, 0.18), ('VH-4', '2026-01-19 01:30Z', 'infinity', 0, 3, 0.18),
    ('VH-5', '-infinity', '-infinity', 0, 0, 0)
) AS v (vehicle_id, valid_from, valid_to, from_hour, to_hour, kwh)
CROSS JOIN (
    SELECT s.ts, extract(hour FROM s.ts AT TIME ZONE 'UTC') AS hour
    FROM generate_series(timestamptz '2026-01-12Z', '2026-01-25 23:59Z', '1 minute') AS s (ts)
) AS t
CROSS JOIN LATERAL (
    SELECT t.hour >= v.from_hour AND t.hour < v.to_hour AND t.ts >= v.valid_from AND t.ts < v.valid_to AS charging
) AS c
WHERE NOT (v.vehicle_id = 'VH-2' AND t.ts > '2026-01-15 02:00Z' AND t.ts < '2026-01-15 04:30Z')
ORDER BY 2;
