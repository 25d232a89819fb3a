-- What the status stream tells: one question a second for any number of listeners.

CREATE OR REPLACE FUNCTION engine.status_changes(p_after bigint, p_meter_ids text[], p_vehicle_ids text[])
RETURNS TABLE (event text, change_id bigint, entry jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'overview', NULL::bigint, to_jsonb(o) FROM public.fleet_overview() AS o
    UNION ALL SELECT 'since', coalesce(max(t.transition_id), 0), NULL FROM engine.alert_transition AS t WHERE p_after IS NULL
    UNION ALL SELECT 'alert', c.transition_id, to_jsonb(c) - 'transition_id' FROM (
        SELECT t.transition_id, a.alert_id, a.rule_name AS rule, a.kind, a.severity, a.stream, nullif(a.device_id, '') AS device_id, a.depot, a.state, a.value, a.threshold,
            engine.alert_message(a) AS message, a.raised_at, a.acknowledged_at, a.acknowledged_by, a.acknowledged_until, a.cleared_at
        FROM engine.alert_transition AS t JOIN public.alert AS a USING (alert_id)
        WHERE t.transition_id > p_after
        ORDER BY t.transition_id
        LIMIT 100
    ) AS c
    UNION ALL SELECT 'meter', NULL, to_jsonb(m) FROM public.meter_current_status AS m WHERE m.meter_id = ANY (p_meter_ids)
    UNION ALL SELECT 'vehicle', NULL, to_jsonb(v) FROM public.vehicle_current_status AS v WHERE v.vehicle_id = ANY (p_vehicle_ids)
$$;
COMMENT ON FUNCTION engine.status_changes(bigint, text[], text[]) IS 'The overview, alerts that rose or cleared after a change (null: only the number of the latest change), and the status of some devices';
