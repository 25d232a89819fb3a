-- A page of a view of the fleet: sorted, filtered and searched here, so that a page is all that leaves the database.

-- Rows without a value come last, whatever the order. The key is negated where the order is descending.
CREATE OR REPLACE FUNCTION engine.{fleet}_page(
    p_from timestamptz, p_to timestamptz, p_sort text, p_descending boolean, p_status text, p_verdict text, p_depot text, p_search text,
    p_after_key numeric, p_after_id text, p_limit integer
) RETURNS TABLE (entry jsonb, sort_key text, id text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_by_id_down boolean := p_sort = 'id' AND p_descending;
BEGIN
    RETURN QUERY
        SELECT to_jsonb(r.f), r.key::text, r.id
        FROM (
            SELECT f, f.{device} AS id, coalesce(CASE WHEN p_descending THEN -k.value ELSE k.value END, 'Infinity') AS key
            FROM public.{fleet}(p_from, p_to) AS f
            CROSS JOIN LATERAL (SELECT CASE p_sort
                WHEN 'energyLoss' THEN f.energy_loss WHEN 'efficiencyRatio' THEN f.efficiency_ratio WHEN 'kwhDeliveredDc' THEN f.kwh_delivered_dc
                WHEN 'kwhConsumedAc' THEN f.kwh_consumed_ac ELSE 0 END AS value) AS k
            WHERE (p_status IS NULL OR f.efficiency_status = p_status) AND (p_verdict IS NULL OR f.verdict = p_verdict)
                AND (p_depot IS NULL OR f.depot = p_depot)
                AND (p_search IS NULL OR strpos(lower(f.{device}), lower(p_search)) > 0 OR strpos(lower(f.label), lower(p_search)) > 0)
        ) AS r
        WHERE p_after_id IS NULL OR r.key > p_after_key OR r.key = p_after_key AND CASE WHEN v_by_id_down THEN r.id < p_after_id ELSE r.id > p_after_id END
        ORDER BY r.key, CASE WHEN v_by_id_down THEN r.id END DESC, r.id
        LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION engine.{fleet}_page(timestamptz, timestamptz, text, boolean, text, text, text, text, numeric, text, integer) IS 'Rows of public.{fleet} over [from, to) in an order (energyLoss, efficiencyRatio, kwhDeliveredDc, kwhConsumedAc or id), narrowed by what is not null, after a place: each with its place';
