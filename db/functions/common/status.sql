-- Hot status: what dashboards ask every few seconds, without touching history.

CREATE OR REPLACE VIEW public.meter_current_status AS
SELECT
    m.meter_id, m.kwh_consumed_ac, m.voltage, m.last_reading_at,
    engine.day_total((now() AT TIME ZONE s.fleet_timezone)::date, m.day, m.day_kwh, m.next_day_kwh) AS daily_kwh_consumed_ac,
    (
        SELECT d.vehicle_id FROM engine.mapping AS d
        WHERE d.meter_id = m.meter_id AND d.valid_from <= now() AND d.valid_to > now()) AS vehicle_id,
    CASE
        WHEN m.last_reading_at < now() - s.offline_after THEN 'offline'
        WHEN m.voltage = 0 OR m.voltage NOT BETWEEN s.voltage_min AND s.voltage_max THEN 'error'
        ELSE 'online'
    END AS status
FROM engine.meter_state AS m CROSS JOIN engine.settings AS s;
COMMENT ON VIEW public.meter_current_status IS 'Latest state of every meter, by the time of its readings';
COMMENT ON COLUMN public.meter_current_status.meter_id IS 'Meter id';
COMMENT ON COLUMN public.meter_current_status.kwh_consumed_ac IS 'AC energy of the latest reading in kWh';
COMMENT ON COLUMN public.meter_current_status.voltage IS 'Voltage of the latest reading in V; null where the meter does not know it';
COMMENT ON COLUMN public.meter_current_status.last_reading_at IS 'Time of the latest reading';
COMMENT ON COLUMN public.meter_current_status.daily_kwh_consumed_ac IS 'AC energy of the current day in the fleet''s time zone, in kWh';
COMMENT ON COLUMN public.meter_current_status.vehicle_id IS 'Vehicle mapped to the meter now';
COMMENT ON COLUMN public.meter_current_status.status IS 'offline after the configured silence, else error when the voltage is 0 or out of its band, else online';

CREATE OR REPLACE VIEW public.vehicle_current_status AS
SELECT
    v.vehicle_id, v.soc, v.kwh_delivered_dc, v.battery_temp, v.last_reading_at,
    engine.day_total((now() AT TIME ZONE s.fleet_timezone)::date, v.day, v.day_kwh, v.next_day_kwh) AS daily_kwh_delivered_dc,
    (
        SELECT d.meter_id FROM engine.mapping AS d
        WHERE d.vehicle_id = v.vehicle_id AND d.valid_from <= now() AND d.valid_to > now()
        ORDER BY d.valid_from DESC, d.meter_id LIMIT 1
    ) AS meter_id,
    CASE
        WHEN v.last_reading_at < now() - s.offline_after THEN 'offline'
        WHEN v.kwh_delivered_dc > 0 THEN 'charging'
        WHEN v.soc < v.previous_soc THEN 'discharging'
        ELSE 'idle'
    END AS charging_state,
    coalesce(v.battery_temp >= s.battery_temp_warning, false) AS battery_temp_warning,
    coalesce(v.battery_temp >= s.battery_temp_critical, false) AS battery_temp_critical
FROM engine.vehicle_state AS v CROSS JOIN engine.settings AS s;
COMMENT ON VIEW public.vehicle_current_status IS 'Latest state of every vehicle, by the time of its readings';
COMMENT ON COLUMN public.vehicle_current_status.vehicle_id IS 'Vehicle id';
COMMENT ON COLUMN public.vehicle_current_status.soc IS 'State of charge of the latest reading in percent; null where the vehicle does not know it';
COMMENT ON COLUMN public.vehicle_current_status.kwh_delivered_dc IS 'DC energy of the latest reading in kWh';
COMMENT ON COLUMN public.vehicle_current_status.battery_temp IS 'Battery temperature of the latest reading in °C; null where the vehicle does not know it';
COMMENT ON COLUMN public.vehicle_current_status.last_reading_at IS 'Time of the latest reading';
COMMENT ON COLUMN public.vehicle_current_status.daily_kwh_delivered_dc IS 'DC energy of the current day in the fleet''s time zone, in kWh';
COMMENT ON COLUMN public.vehicle_current_status.meter_id IS 'Meter mapped to the vehicle now; the one mapped last when there are several';
COMMENT ON COLUMN public.vehicle_current_status.charging_state IS 'offline after the configured silence, else charging when the latest reading delivered energy, discharging when it did not and soc fell since the reading before, else idle';
COMMENT ON COLUMN public.vehicle_current_status.battery_temp_warning IS 'Battery temperature at or above the warning threshold';
COMMENT ON COLUMN public.vehicle_current_status.battery_temp_critical IS 'Battery temperature at or above the critical threshold';

CREATE OR REPLACE FUNCTION public.fleet_overview()
RETURNS TABLE (
    total_meters bigint, online_meters bigint, offline_meters bigint, total_vehicles bigint, charging_vehicles bigint,
    idle_vehicles bigint, discharging_vehicles bigint, offline_vehicles bigint, vehicles_with_warnings bigint,
    total_daily_kwh_consumed numeric, total_daily_kwh_delivered numeric
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.total, m.online, m.offline, v.total, v.charging, v.idle, v.discharging, v.offline, v.hot, m.kwh, v.kwh
    FROM (
        SELECT count(*) AS total, count(*) FILTER (WHERE s.status = 'online') AS online,
            count(*) FILTER (WHERE s.status = 'offline') AS offline, coalesce(sum(s.daily_kwh_consumed_ac), 0) AS kwh
        FROM public.meter_current_status AS s
    ) AS m
    CROSS JOIN (
        SELECT count(*) AS total, count(*) FILTER (WHERE s.charging_state = 'charging') AS charging,
            count(*) FILTER (WHERE s.charging_state = 'idle') AS idle, count(*) FILTER (WHERE s.charging_state = 'discharging') AS discharging,
            count(*) FILTER (WHERE s.charging_state = 'offline') AS offline, count(*) FILTER (WHERE s.battery_temp_warning) AS hot,
            coalesce(sum(s.daily_kwh_delivered_dc), 0) AS kwh
        FROM public.vehicle_current_status AS s
    ) AS v
$$;
COMMENT ON FUNCTION public.fleet_overview() IS 'Counts of devices by state, and the energy (kWh) of the current day in the fleet''s time zone; a meter in error is neither online nor offline';

CREATE OR REPLACE FUNCTION engine.device_counts(OUT meters bigint, OUT vehicles bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT (SELECT count(*) FROM engine.meter_state), (SELECT count(*) FROM engine.vehicle_state) $$;
COMMENT ON FUNCTION engine.device_counts() IS 'Number of meters and vehicles that ever reported';

CREATE OR REPLACE FUNCTION engine.meters_online(p_limit integer DEFAULT 1000) RETURNS SETOF public.meter_current_status
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT * FROM public.meter_current_status AS m WHERE m.status = 'online' ORDER BY m.meter_id LIMIT p_limit $$;
COMMENT ON FUNCTION engine.meters_online(integer) IS 'Meters that are online, by id; so many at most';

CREATE OR REPLACE FUNCTION engine.vehicles_charging(p_limit integer DEFAULT 1000) RETURNS SETOF public.vehicle_current_status
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT * FROM public.vehicle_current_status AS v WHERE v.charging_state = 'charging' ORDER BY v.soc, v.vehicle_id LIMIT p_limit $$;
COMMENT ON FUNCTION engine.vehicles_charging(integer) IS 'Vehicles that are charging, lowest state of charge first and unknown ones last; so many at most';

CREATE OR REPLACE FUNCTION engine.vehicles_with_warnings(p_limit integer DEFAULT 1000) RETURNS SETOF public.vehicle_current_status
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT * FROM public.vehicle_current_status AS v WHERE v.battery_temp_warning ORDER BY v.battery_temp DESC, v.vehicle_id LIMIT p_limit $$;
COMMENT ON FUNCTION engine.vehicles_with_warnings(integer) IS 'Vehicles whose battery is at or above the warning temperature, hottest first; so many at most';
