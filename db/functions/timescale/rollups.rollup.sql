-- What is materialized of a continuous aggregate: answers read this, never its real-time part, whose border is read when a
-- query is planned, which may be after the snapshot that the query then sees.
DO $$
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW engine.{stream}_{rollup} AS SELECT * FROM %s', engine.hypertable_of('{stream}_telemetry_{rollup}'));
END
$$;
COMMENT ON VIEW engine.{stream}_{rollup} IS 'What is rolled up of public.{stream}_telemetry_{rollup}, which may add what is not: the part that answers read';
