-- Notices: transitions of alerts, grouped; each target gets every notice at least once, in their order.

-- Of each device only the oldest transition that waits is taken, so that a device's notices keep their order. What rises
-- or clears together within an evaluation or two is told together: a group waits until an evaluation added nothing to
-- it, and for a minute at most.
CREATE OR REPLACE FUNCTION engine.form_alert_notices(p_at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_group record;
    v_notice_id bigint;
    v_formed bigint := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock('public.alert'::regclass::oid::integer, 0) THEN
        RETURN 0;
    END IF;
    FOR v_group IN
        SELECT w.rule_name, w.transition, array_agg(w.transition_id ORDER BY w.transition_id) AS transitions
        FROM (
            SELECT t.transition_id, t.transition, t.at, a.rule_name, row_number() OVER (PARTITION BY a.stream, a.device_id ORDER BY t.transition_id) AS place
            FROM engine.alert_transition AS t JOIN public.alert AS a USING (alert_id)
            WHERE t.notice_id IS NULL
        ) AS w
        WHERE w.place = 1
        GROUP BY w.rule_name, w.transition
        HAVING max(w.at) <= p_at - interval '31 seconds' OR min(w.at) <= p_at - interval '61 seconds'
        ORDER BY min(w.transition_id)
    LOOP
        INSERT INTO engine.alert_notice (severity, title, body, formed_at)
        SELECT n.severity, n.title, n.body, p_at FROM engine.alert_notice_text(v_group.transition, v_group.transitions) AS n
        RETURNING notice_id INTO v_notice_id;
        UPDATE engine.alert_transition AS t SET notice_id = v_notice_id WHERE t.transition_id = ANY (v_group.transitions);
        v_formed := v_formed + 1;
    END LOOP;
    RETURN v_formed;
END
$$;
COMMENT ON FUNCTION engine.form_alert_notices(timestamptz) IS 'Forms a notice for each group of transitions that has waited long enough; returns how many';

CREATE OR REPLACE FUNCTION engine.alert_notice_text(p_transition text, p_transition_ids bigint[], OUT severity text, OUT title text, OUT body text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH told AS (
        SELECT a.*, engine.alert_message(a) AS message, row_number() OVER (ORDER BY a.stream, a.device_id) AS place
        FROM engine.alert_transition AS t JOIN public.alert AS a USING (alert_id)
        WHERE t.transition_id = ANY (p_transition_ids)
    )
    SELECT
        CASE p_transition WHEN 'cleared' THEN 'cleared' ELSE min(t.severity) END,
        CASE p_transition WHEN 'cleared' THEN 'Cleared: ' ELSE '' END || CASE count(*) WHEN 1 THEN min(t.message) ELSE format('%s alerts of rule %s', count(*), min(t.rule_name)) END,
        concat_ws(E'\n',
            format('Rule %s%s', min(t.rule_name), ', ' || nullif(string_agg(DISTINCT 'depot ' || t.depot, ', '), '')),
            string_agg(t.message, E'\n' ORDER BY t.place) FILTER (WHERE t.place <= 20),
            CASE WHEN count(*) > 20 THEN format('and %s more', count(*) - 20) END)
    FROM told AS t
$$;
COMMENT ON FUNCTION engine.alert_notice_text(text, bigint[]) IS 'Severity, title and text of the notice that tells some transitions of one rule';

CREATE OR REPLACE FUNCTION engine.name_alert_targets(p_targets text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM engine.alert_target AS t WHERE t.target <> ALL (p_targets);
    INSERT INTO engine.alert_target (target, delivered_through)
    SELECT n.target, coalesce((SELECT max(a.notice_id) FROM engine.alert_notice AS a), 0) FROM unnest(p_targets) AS n (target)
    ORDER BY n.target
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION engine.name_alert_targets(text[]) IS 'Names the receivers of notices; one that is new gets those formed from now on';

-- A lease in place of a lock: who delivers holds no transaction open while a receiver makes it wait.
CREATE OR REPLACE FUNCTION engine.take_alert_notice(p_target text, p_lease interval) RETURNS TABLE (notice_id bigint, severity text, title text, body text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_through bigint;
BEGIN
    UPDATE engine.alert_target AS t SET leased_until = clock_timestamp() + p_lease
    WHERE t.target = p_target AND t.leased_until <= clock_timestamp() AND t.next_attempt_at <= clock_timestamp()
        AND EXISTS (SELECT FROM engine.alert_notice AS n WHERE n.notice_id > t.delivered_through)
    RETURNING t.delivered_through INTO v_through;
    RETURN QUERY
        SELECT n.notice_id, n.severity, n.title, n.body FROM engine.alert_notice AS n
        WHERE n.notice_id > v_through ORDER BY n.notice_id LIMIT 1;
END
$$;
COMMENT ON FUNCTION engine.take_alert_notice(text, interval) IS 'The next notice for a receiver, which is the caller''s to deliver for so long; no row when there is none, another delivers, or it is too early to try again';

CREATE OR REPLACE FUNCTION engine.note_alert_delivery(p_target text, p_notice_id bigint, p_error text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE engine.alert_target AS t SET
        delivered_through = CASE WHEN p_error IS NULL THEN greatest(t.delivered_through, p_notice_id) ELSE t.delivered_through END,
        leased_until = '-infinity',
        failures = CASE WHEN p_error IS NULL THEN 0 ELSE t.failures + 1 END,
        failing_since = CASE WHEN p_error IS NOT NULL THEN coalesce(t.failing_since, clock_timestamp()) END,
        next_attempt_at = CASE WHEN p_error IS NULL THEN '-infinity' ELSE clock_timestamp() + least(interval '5 minutes', interval '2 seconds' * 2 ^ least(t.failures, 10)) END,
        last_error = p_error
    WHERE t.target = p_target
$$;
COMMENT ON FUNCTION engine.note_alert_delivery(text, bigint, text) IS 'Notes that a receiver got a notice (error null), or why not; after a failure it is tried again later each time, every 5 minutes at last';
