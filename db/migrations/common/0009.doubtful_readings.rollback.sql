DROP TABLE engine.refusal;
ALTER TABLE engine.settings DROP COLUMN max_plausible_kw;
DROP TABLE engine.implausible_reading;
DROP TABLE public.voided_reading;
