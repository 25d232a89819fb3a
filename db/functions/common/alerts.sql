-- Alerts: evaluated in the database, raised once, cleared when their condition has passed. Each that rises or clears leaves
-- a transition in the same transaction, from which notices are formed.

CREATE OR REPLACE FUNCTION engine.evaluate_alerts(p_at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_kind text;
    v_transitions bigint := 0;
BEGIN
    -- Every service process asks; one of them does it.
    IF NOT pg_try_advisory_xact_lock('public.alert'::regclass::oid::integer, 0) THEN
        RETURN 0;
    END IF;
    FOR v_kind IN
        SELECT k.kind FROM engine.alert_kinds() AS k LEFT JOIN engine.alert_evaluation AS e USING (kind)
        WHERE e.kind IS NULL OR p_at >= e.evaluated_at + k.every OR p_at < e.evaluated_at
        ORDER BY k.kind
    LOOP
        v_transitions := v_transitions + engine.evaluate_alert_kind(v_kind, p_at);
        INSERT INTO engine.alert_evaluation (kind, evaluated_at) VALUES (v_kind, p_at)
        ON CONFLICT (kind) DO UPDATE SET evaluated_at = excluded.evaluated_at;
    END LOOP;
    RETURN v_transitions;
END
$$;
COMMENT ON FUNCTION engine.evaluate_alerts(timestamptz) IS 'Raises and clears alerts by the rules that are due; returns how many did';

-- A device that is gone, and a rule that is gone or no longer watches a device, has no judgement: its alert clears. An
-- unknown value (null) neither raises nor clears.
CREATE OR REPLACE FUNCTION engine.evaluate_alert_kind(p_kind text, p_at timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH judged AS MATERIALIZED (
        SELECT r.name AS rule_name, r.severity, r.for_seconds, r.threshold, v.stream, v.device_id, d.depot, v.value,
            CASE WHEN k.alerts_below THEN v.value < r.threshold ELSE v.value >= r.threshold END AS holds,
            CASE WHEN k.alerts_below THEN v.value >= r.clear_threshold ELSE v.value < r.clear_threshold END AS passed
        FROM engine.alert_kinds() AS k
        JOIN public.alert_rule AS r ON r.kind = k.kind AND r.enabled
        CROSS JOIN LATERAL engine.alert_values(k.kind, p_at) AS v
        LEFT JOIN public.device AS d ON d.kind = v.stream AND d.device_id = v.device_id
        WHERE k.kind = p_kind AND (r.depot IS NULL OR r.depot = d.depot)
    ), open AS MATERIALIZED (
        SELECT a.alert_id, a.state, a.acknowledged_until, a.rule_name, a.stream, a.device_id, j.holds, j.passed, j.rule_name IS NULL AS is_gone
        FROM public.alert AS a LEFT JOIN judged AS j USING (rule_name, stream, device_id)
        WHERE a.kind = p_kind AND a.state <> 'cleared'
    ), waiting AS MATERIALIZED (
        SELECT j.*, coalesce(p.since, p_at) AS since
        FROM judged AS j LEFT JOIN engine.alert_pending AS p USING (rule_name, stream, device_id)
        WHERE j.holds AND NOT EXISTS (
            SELECT FROM open AS o WHERE o.rule_name = j.rule_name AND o.stream = j.stream AND o.device_id = j.device_id
        )
    ), cleared AS (
        UPDATE public.alert AS a SET state = 'cleared', cleared_at = p_at FROM open AS o
        WHERE o.alert_id = a.alert_id AND (o.passed OR o.is_gone) RETURNING a.alert_id, 'cleared' AS transition
    ), raised_again AS (
        UPDATE public.alert AS a SET state = 'raised', acknowledged_at = NULL, acknowledged_by = NULL, acknowledged_until = NULL FROM open AS o
        WHERE o.alert_id = a.alert_id AND o.holds AND o.acknowledged_until <= p_at RETURNING a.alert_id, 'raised' AS transition
    ), raised AS (
        INSERT INTO public.alert (rule_name, kind, severity, stream, device_id, depot, state, value, threshold, raised_at)
        SELECT w.rule_name, p_kind, w.severity, w.stream, w.device_id, w.depot, 'raised', w.value, w.threshold, p_at
        FROM waiting AS w
        WHERE w.since + make_interval(secs => w.for_seconds) <= p_at
        ORDER BY w.rule_name, w.stream, w.device_id
        RETURNING alert_id, 'raised' AS transition
    ), pending AS (
        INSERT INTO engine.alert_pending (rule_name, stream, device_id, since)
        SELECT w.rule_name, w.stream, w.device_id, p_at FROM waiting AS w
        WHERE w.since = p_at AND w.for_seconds > 0
        ON CONFLICT DO NOTHING
    ), ended AS (
        DELETE FROM engine.alert_pending AS p
        USING public.alert_rule AS r
        WHERE r.name = p.rule_name AND r.kind = p_kind AND NOT EXISTS (
            SELECT FROM waiting AS w
            WHERE w.rule_name = p.rule_name AND w.stream = p.stream AND w.device_id = p.device_id
                AND w.since + make_interval(secs => w.for_seconds) > p_at
        )
    ), noted AS (
        INSERT INTO engine.alert_transition (alert_id, transition, at)
        SELECT t.alert_id, t.transition, p_at
        FROM (SELECT * FROM cleared UNION ALL SELECT * FROM raised_again UNION ALL SELECT * FROM raised) AS t
        ORDER BY t.alert_id
        RETURNING 1
    )
    SELECT count(*) FROM noted
$$;
COMMENT ON FUNCTION engine.evaluate_alert_kind(text, timestamptz) IS 'Raises and clears the alerts of one kind of rule by what holds at a time; returns how many did';

CREATE OR REPLACE FUNCTION engine.put_alert_rule(
    p_name text, p_kind text, p_threshold numeric, p_clear_threshold numeric, p_for_seconds integer, p_depot text, p_severity text, p_enabled boolean
) RETURNS SETOF public.alert_rule
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_below boolean := (SELECT k.alerts_below FROM engine.alert_kinds() AS k WHERE k.kind = p_kind);
    v_clear numeric := coalesce(p_clear_threshold, p_threshold);
BEGIN
    IF v_below AND v_clear < p_threshold OR NOT v_below AND v_clear > p_threshold THEN
        RAISE EXCEPTION 'clearThreshold must be % threshold for a rule of kind %', CASE WHEN v_below THEN 'at or above' ELSE 'at or below' END, p_kind
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A rule of another kind is another rule: what the old one raised clears.
    IF EXISTS (SELECT FROM public.alert_rule AS r WHERE r.name = p_name AND r.kind <> p_kind) THEN
        PERFORM engine.delete_alert_rule(p_name);
    END IF;
    RETURN QUERY
        INSERT INTO public.alert_rule AS r (name, kind, threshold, clear_threshold, for_seconds, depot, severity, enabled)
        VALUES (p_name, p_kind, p_threshold, v_clear, p_for_seconds, p_depot, p_severity, p_enabled)
        ON CONFLICT (name) DO UPDATE SET
            threshold = excluded.threshold, clear_threshold = excluded.clear_threshold,
            for_seconds = excluded.for_seconds, depot = excluded.depot, severity = excluded.severity, enabled = excluded.enabled
        RETURNING r.*;
END
$$;
COMMENT ON FUNCTION engine.put_alert_rule(text, text, numeric, numeric, integer, text, text, boolean) IS 'Makes or replaces an alert rule (the unit of its thresholds is its kind''s; a clear_threshold of null is the threshold)';

CREATE OR REPLACE FUNCTION engine.delete_alert_rule(p_name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.alert_rule AS r WHERE r.name = p_name;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM engine.alert_pending AS p WHERE p.rule_name = p_name;
    WITH cleared AS (
        UPDATE public.alert AS a SET state = 'cleared', cleared_at = now() WHERE a.rule_name = p_name AND a.state <> 'cleared' RETURNING a.alert_id
    )
    INSERT INTO engine.alert_transition (alert_id, transition, at) SELECT c.alert_id, 'cleared', now() FROM cleared AS c ORDER BY c.alert_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION engine.delete_alert_rule(text) IS 'Deletes an alert rule and clears its alerts; false when there is none of that name';

CREATE OR REPLACE FUNCTION engine.alert_message(p_alert public.alert) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat(nullif(concat_ws(' ', nullif(p_alert.stream, 'fleet'), nullif(p_alert.device_id, '')) || ': ', ': '), k.what, ' ', CASE
        WHEN k.unit <> ' s' THEN trim_scale(round(p_alert.value, 4)) || k.unit
        WHEN p_alert.value < 7200 THEN round(p_alert.value / 60) || ' min'
        WHEN p_alert.value < 172800 THEN round(p_alert.value / 3600) || ' h'
        ELSE round(p_alert.value / 86400) || ' days'
    END)
    FROM engine.alert_kinds() AS k WHERE k.kind = p_alert.kind
$$;
COMMENT ON FUNCTION engine.alert_message(public.alert) IS 'An alert in a line: the device and its value when the alert rose';

CREATE OR REPLACE FUNCTION engine.alerts(
    p_state text, p_kind text, p_depot text, p_device_id text, p_before bigint, p_limit integer
) RETURNS TABLE (
    alert_id bigint, rule text, kind text, severity text, stream text, device_id text, depot text, state text, value numeric, threshold numeric,
    message text, raised_at timestamptz, acknowledged_at timestamptz, acknowledged_by text, acknowledged_until timestamptz, cleared_at timestamptz
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.alert_id, a.rule_name, a.kind, a.severity, a.stream, nullif(a.device_id, ''), a.depot, a.state, a.value, a.threshold,
        engine.alert_message(a), a.raised_at, a.acknowledged_at, a.acknowledged_by, a.acknowledged_until, a.cleared_at
    FROM public.alert AS a
    WHERE (p_state IS NULL OR a.state = p_state) AND (p_kind IS NULL OR a.kind = p_kind) AND (p_depot IS NULL OR a.depot = p_depot)
        AND (p_device_id IS NULL OR a.device_id = p_device_id) AND (p_before IS NULL OR a.alert_id < p_before)
    ORDER BY a.alert_id DESC
    LIMIT p_limit
$$;
COMMENT ON FUNCTION engine.alerts(text, text, text, text, bigint, integer) IS 'Alerts, newest first, those before a number; each argument that is not null narrows them';

CREATE OR REPLACE FUNCTION engine.acknowledge_alert(p_alert_id bigint, p_by text, p_until timestamptz) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_until <= now() THEN
        RAISE EXCEPTION 'until must lie in the future' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE public.alert AS a
    SET state = 'acknowledged', acknowledged_at = now(), acknowledged_by = p_by, acknowledged_until = p_until
    WHERE a.alert_id = p_alert_id AND a.state <> 'cleared';
    RETURN (SELECT a.state FROM public.alert AS a WHERE a.alert_id = p_alert_id);
END
$$;
COMMENT ON FUNCTION engine.acknowledge_alert(bigint, text, timestamptz) IS 'Acknowledges an open alert, until a time or for ever (null); returns its state, null when there is no such alert';

CREATE OR REPLACE FUNCTION engine.forget_old_alerts() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.alert AS a WHERE a.state = 'cleared' AND a.cleared_at < now() - interval '1 year';
    DELETE FROM engine.alert_notice AS n WHERE n.formed_at < now() - interval '30 days';
$$;
COMMENT ON FUNCTION engine.forget_old_alerts() IS 'Deletes alerts that cleared a year ago, and notices of 30 days ago';
