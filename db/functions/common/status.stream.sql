-- Hot status of one device, and of all by pages.

CREATE OR REPLACE FUNCTION engine.{stream}_status(p_{device} text) RETURNS SETOF public.{stream}_current_status
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM public.{stream}_current_status AS s WHERE s.{device} = p_{device}
$$;
COMMENT ON FUNCTION engine.{stream}_status(text) IS 'State of one {stream}; no row when it never reported';

CREATE OR REPLACE FUNCTION engine.{stream}s_page(p_limit bigint, p_offset bigint) RETURNS SETOF public.{stream}_current_status
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM public.{stream}_current_status AS s ORDER BY s.{device} LIMIT p_limit OFFSET p_offset
$$;
COMMENT ON FUNCTION engine.{stream}s_page(bigint, bigint) IS 'A page of all {stream}s by id';
