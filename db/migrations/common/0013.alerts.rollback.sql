DROP TABLE engine.alert_target, engine.alert_transition, engine.alert_notice, engine.alert_evaluation, engine.alert_pending, public.alert, public.alert_rule;
