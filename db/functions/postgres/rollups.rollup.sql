-- A rollup on plain PostgreSQL: triggers keep it exact with every statement on history.

CREATE OR REPLACE VIEW engine.{stream}_{rollup} AS SELECT * FROM public.{stream}_telemetry_{rollup};
COMMENT ON VIEW engine.{stream}_{rollup} IS 'What is rolled up of public.{stream}_telemetry_{rollup}, which may add what is not: the part that answers read';

-- New readings add to their buckets. Buckets are written in key order, and a stream's rollups in the order of their
-- triggers' names, so that concurrent writers wait for each other, never in a ring. The triggers act as the owner: the
-- service may add to history, to rollups only by that.
CREATE OR REPLACE FUNCTION engine.add_to_{stream}_{rollup}() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.{stream}_telemetry_{rollup} AS b (
        {device}, bucket, readings_count,
        min_{measure},
        max_{measure},
        sum_{measure},
        count_{measure},
        total_{energy}
    )
    SELECT
        n.{device}, date_bin('{width}', n.ts, 'epoch'), count(*),
        min(n.{measure}),
        max(n.{measure}),
        sum(n.{measure}),
        count(n.{measure}),
        sum(n.{energy})
    FROM new_rows AS n
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT ({device}, bucket) DO UPDATE SET
        readings_count = b.readings_count + excluded.readings_count,
        min_{measure} = least(b.min_{measure}, excluded.min_{measure}),
        max_{measure} = greatest(b.max_{measure}, excluded.max_{measure}),
        sum_{measure} = coalesce(b.sum_{measure} + excluded.sum_{measure}, b.sum_{measure}, excluded.sum_{measure}),
        count_{measure} = b.count_{measure} + excluded.count_{measure},
        total_{energy} = b.total_{energy} + excluded.total_{energy};
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.add_to_{stream}_{rollup}() IS 'Trigger: adds new {stream} readings to their {rollup} buckets';

-- What is changed or deleted is counted anew from history; what retention drops stays in the rollups.
CREATE OR REPLACE FUNCTION engine.recount_{stream}_{rollup}() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_history_from timestamptz := (engine.horizon_of('{stream}')).history_from;
    v_device_id text;
    v_bucket timestamptz;
BEGIN
    FOR v_device_id, v_bucket IN
        SELECT DISTINCT c.{device}, date_bin('{width}', c.ts, 'epoch') FROM changed_rows AS c WHERE c.ts >= v_history_from ORDER BY 1, 2
    LOOP
        DELETE FROM public.{stream}_telemetry_{rollup} AS b WHERE b.{device} = v_device_id AND b.bucket = v_bucket;
        INSERT INTO public.{stream}_telemetry_{rollup} (
            {device}, bucket, readings_count,
            min_{measure},
            max_{measure},
            sum_{measure},
            count_{measure},
            total_{energy}
        )
        SELECT
            v_device_id, v_bucket, count(*),
            min(n.{measure}),
            max(n.{measure}),
            sum(n.{measure}),
            count(n.{measure}),
            sum(n.{energy})
        FROM public.{stream}_telemetry_history AS n
        WHERE n.{device} = v_device_id AND n.ts >= v_bucket AND n.ts < v_bucket + interval '{width}'
        HAVING count(*) > 0;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.recount_{stream}_{rollup}() IS 'Trigger: counts the {rollup} buckets of changed or deleted {stream} readings anew';

CREATE OR REPLACE FUNCTION engine.empty_{stream}_{rollup}() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.{stream}_telemetry_{rollup} AS b WHERE b.bucket >= (engine.horizon_of('{stream}')).history_from;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION engine.empty_{stream}_{rollup}() IS 'Trigger: a truncated {stream} history leaves nothing to roll up but what retention had dropped before';

CREATE OR REPLACE TRIGGER add_to_{rollup} AFTER INSERT ON public.{stream}_telemetry_history
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.add_to_{stream}_{rollup}();
CREATE OR REPLACE TRIGGER recount_deleted_{rollup} AFTER DELETE ON public.{stream}_telemetry_history
REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_{stream}_{rollup}();
CREATE OR REPLACE TRIGGER recount_{rollup}_before_change AFTER UPDATE ON public.{stream}_telemetry_history
REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_{stream}_{rollup}();
CREATE OR REPLACE TRIGGER recount_{rollup}_after_change AFTER UPDATE ON public.{stream}_telemetry_history
REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION engine.recount_{stream}_{rollup}();
CREATE OR REPLACE TRIGGER empty_{rollup} AFTER TRUNCATE ON public.{stream}_telemetry_history
FOR EACH STATEMENT EXECUTE FUNCTION engine.empty_{stream}_{rollup}();
