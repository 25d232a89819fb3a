-- What a refresh remembers of a server clock that was once ahead.
-- depends: 0007.six_hours

ALTER TABLE engine.horizon ADD COLUMN forced_before timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN engine.horizon.forced_before IS 'Rollups up to this time were made while the server''s clock was ahead: a refresh makes them anew even where TimescaleDB''s log says that nothing changed';
