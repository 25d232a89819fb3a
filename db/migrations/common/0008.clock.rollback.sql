ALTER TABLE engine.horizon DROP COLUMN forced_before;
