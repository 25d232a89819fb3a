-- Alerts: the rules, what they found, and the notices that go out.
-- depends: 0012.devices

-- It takes a resolution now (functions/common/fleet_views.sql).
DROP FUNCTION IF EXISTS public.fleet_trend(timestamptz, timestamptz);

CREATE TABLE public.alert_rule (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,63}$'),
    kind text NOT NULL CHECK (kind IN ('lowEfficiency', 'silent', 'hotBattery', 'voltage', 'implausible', 'noReadings')),
    threshold numeric NOT NULL,
    clear_threshold numeric NOT NULL,
    for_seconds integer NOT NULL DEFAULT 0 CHECK (for_seconds BETWEEN 0 AND 604800),
    depot text,
    severity text NOT NULL DEFAULT 'warning' CHECK (severity IN ('info', 'warning', 'critical')),
    enabled boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE public.alert_rule IS 'When an alert rises and when it clears; evaluated every 30 seconds';
COMMENT ON COLUMN public.alert_rule.name IS 'Name of the rule';
COMMENT ON COLUMN public.alert_rule.kind IS 'What is watched: lowEfficiency (ratio of 24 hours), silent and noReadings (seconds), hotBattery (°C), voltage (V outside its band), implausible (readings of the last hour)';
COMMENT ON COLUMN public.alert_rule.threshold IS 'An alert rises when the value reaches it; lowEfficiency: when the value is below it';
COMMENT ON COLUMN public.alert_rule.clear_threshold IS 'The alert clears when the value is below it; lowEfficiency: when the value reaches it';
COMMENT ON COLUMN public.alert_rule.for_seconds IS 'How long the condition holds before an alert rises, in seconds';
COMMENT ON COLUMN public.alert_rule.depot IS 'Depot whose devices the rule watches; null: all';
COMMENT ON COLUMN public.alert_rule.severity IS 'info, warning or critical';
COMMENT ON COLUMN public.alert_rule.enabled IS 'Whether the rule is evaluated';

INSERT INTO public.alert_rule (name, kind, threshold, clear_threshold, for_seconds, severity) VALUES
    ('low-efficiency', 'lowEfficiency', 0.85, 0.87, 1800, 'warning'),
    ('silent-device', 'silent', 600, 600, 0, 'warning'),
    ('warm-battery', 'hotBattery', 45, 43, 120, 'warning'),
    ('hot-battery', 'hotBattery', 55, 50, 0, 'critical'),
    ('voltage', 'voltage', 1, 1, 120, 'warning'),
    ('implausible', 'implausible', 1, 1, 0, 'info'),
    ('no-readings', 'noReadings', 180, 180, 0, 'critical');

CREATE TABLE public.alert (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_name text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL,
    stream text NOT NULL CHECK (stream IN ('meter', 'vehicle', 'fleet')),
    device_id text COLLATE "C" NOT NULL,
    depot text,
    state text NOT NULL CHECK (state IN ('raised', 'acknowledged', 'cleared')),
    value numeric NOT NULL,
    threshold numeric NOT NULL,
    raised_at timestamptz NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text,
    acknowledged_until timestamptz,
    cleared_at timestamptz
);
CREATE UNIQUE INDEX alert_open ON public.alert (rule_name, stream, device_id) WHERE state <> 'cleared';
CREATE INDEX alert_cleared ON public.alert (cleared_at) WHERE state = 'cleared';
CREATE INDEX alert_device ON public.alert (stream, device_id, alert_id);
COMMENT ON TABLE public.alert IS 'Alerts, open and cleared; kept for a year after they cleared';
COMMENT ON COLUMN public.alert.alert_id IS 'Number of the alert, rising in time';
COMMENT ON COLUMN public.alert.rule_name IS 'Rule that raised it';
COMMENT ON COLUMN public.alert.kind IS 'Kind of the rule';
COMMENT ON COLUMN public.alert.severity IS 'Severity of the rule when it rose: info, warning or critical';
COMMENT ON COLUMN public.alert.stream IS 'meter, vehicle or fleet';
COMMENT ON COLUMN public.alert.device_id IS 'Meter or vehicle id; empty for the fleet';
COMMENT ON COLUMN public.alert.depot IS 'Depot of the device when the alert rose; null where none is known';
COMMENT ON COLUMN public.alert.state IS 'raised, acknowledged or cleared';
COMMENT ON COLUMN public.alert.value IS 'Value when it rose, in the unit of its kind';
COMMENT ON COLUMN public.alert.threshold IS 'Threshold of the rule when it rose';
COMMENT ON COLUMN public.alert.raised_at IS 'Time of the evaluation that raised it';
COMMENT ON COLUMN public.alert.acknowledged_at IS 'When somebody acknowledged it';
COMMENT ON COLUMN public.alert.acknowledged_by IS 'Name of the key that acknowledged it, or what did it without a key';
COMMENT ON COLUMN public.alert.acknowledged_until IS 'When it rises again if its condition still holds; null: never';
COMMENT ON COLUMN public.alert.cleared_at IS 'Time of the evaluation that cleared it';

CREATE TABLE engine.alert_pending (
    rule_name text COLLATE "C" NOT NULL,
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (rule_name, stream, device_id)
);
COMMENT ON TABLE engine.alert_pending IS 'Conditions that hold, but not for as long as their rule asks';
COMMENT ON COLUMN engine.alert_pending.rule_name IS 'Rule';
COMMENT ON COLUMN engine.alert_pending.stream IS 'meter, vehicle or fleet';
COMMENT ON COLUMN engine.alert_pending.device_id IS 'Meter or vehicle id; empty for the fleet';
COMMENT ON COLUMN engine.alert_pending.since IS 'First evaluation at which the condition held';

CREATE TABLE engine.alert_evaluation (
    kind text PRIMARY KEY,
    evaluated_at timestamptz NOT NULL
);
COMMENT ON TABLE engine.alert_evaluation IS 'When the rules of a kind were evaluated last';
COMMENT ON COLUMN engine.alert_evaluation.kind IS 'Kind of rule';
COMMENT ON COLUMN engine.alert_evaluation.evaluated_at IS 'Time of the latest evaluation';

CREATE TABLE engine.alert_notice (
    notice_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical', 'cleared')),
    title text NOT NULL,
    body text NOT NULL,
    formed_at timestamptz NOT NULL
);
COMMENT ON TABLE engine.alert_notice IS 'Notices in the order in which every target gets them; kept for 30 days';
COMMENT ON COLUMN engine.alert_notice.notice_id IS 'Number of the notice; targets get them in this order';
COMMENT ON COLUMN engine.alert_notice.severity IS 'Severity of its alerts, or cleared';
COMMENT ON COLUMN engine.alert_notice.title IS 'What happened, in a line';
COMMENT ON COLUMN engine.alert_notice.body IS 'The devices concerned';
COMMENT ON COLUMN engine.alert_notice.formed_at IS 'When it was formed';

CREATE TABLE engine.alert_transition (
    transition_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES public.alert ON DELETE CASCADE,
    transition text NOT NULL CHECK (transition IN ('raised', 'cleared')),
    at timestamptz NOT NULL,
    notice_id bigint REFERENCES engine.alert_notice ON DELETE SET NULL
);
CREATE INDEX alert_transition_waiting ON engine.alert_transition (transition_id) WHERE notice_id IS NULL;
CREATE INDEX alert_transition_alert ON engine.alert_transition (alert_id);
CREATE INDEX alert_transition_notice ON engine.alert_transition (notice_id);
COMMENT ON TABLE engine.alert_transition IS 'Alerts that rose and cleared, in the order in which they did; written with the alert itself';
COMMENT ON COLUMN engine.alert_transition.transition_id IS 'Number of the transition, rising in time';
COMMENT ON COLUMN engine.alert_transition.alert_id IS 'Alert';
COMMENT ON COLUMN engine.alert_transition.transition IS 'raised or cleared';
COMMENT ON COLUMN engine.alert_transition.at IS 'Time of the evaluation';
COMMENT ON COLUMN engine.alert_transition.notice_id IS 'Notice that tells it; null while it waits for one';

CREATE TABLE engine.alert_target (
    target text PRIMARY KEY,
    delivered_through bigint NOT NULL,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    last_error text
);
COMMENT ON TABLE engine.alert_target IS 'Receivers of notices, and how far each has got';
COMMENT ON COLUMN engine.alert_target.target IS 'Kind of the receiver and a digest of its URL, which may hold a password';
COMMENT ON COLUMN engine.alert_target.delivered_through IS 'Latest notice that it has got, or that was formed before it was named';
COMMENT ON COLUMN engine.alert_target.leased_until IS 'Until when one service process delivers to it and others leave it alone';
COMMENT ON COLUMN engine.alert_target.failures IS 'Attempts that failed since the last success';
COMMENT ON COLUMN engine.alert_target.failing_since IS 'First of those; null after a success';
COMMENT ON COLUMN engine.alert_target.next_attempt_at IS 'When it is tried again';
COMMENT ON COLUMN engine.alert_target.last_error IS 'Why the latest attempt failed; null after a success';
