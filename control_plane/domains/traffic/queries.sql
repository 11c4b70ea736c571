-- name: add_to_slots(tenant_ids, kinds, subjects, variant_ids, slots, clicks, uniques, humans, human_uniques, conversions, human_conversions, visits, human_visits, page_clicks, checkouts, sales, prefetches)!
-- In order of key, so that two transactions with the same sums wait for each other, never crosswise.
INSERT INTO traffic_slots AS kept (
    tenant_id, subject_kind, subject, variant_id, slot, clicks, uniques, humans, human_uniques,
    conversions, human_conversions, visits, human_visits, page_clicks, checkouts, sales,
    prefetches)
SELECT *
FROM unnest(
    CAST(:tenant_ids AS uuid[]), CAST(:kinds AS smallint[]), CAST(:subjects AS uuid[]),
    CAST(:variant_ids AS uuid[]), CAST(:slots AS timestamptz[]), CAST(:clicks AS bigint[]),
    CAST(:uniques AS bigint[]), CAST(:humans AS bigint[]), CAST(:human_uniques AS bigint[]),
    CAST(:conversions AS bigint[]), CAST(:human_conversions AS bigint[]), CAST(:visits AS bigint[]),
    CAST(:human_visits AS bigint[]), CAST(:page_clicks AS bigint[]), CAST(:checkouts AS bigint[]),
    CAST(:sales AS bigint[]), CAST(:prefetches AS bigint[])
) AS new (tenant_id, subject_kind, subject, variant_id, slot)
ORDER BY new.tenant_id, new.subject_kind, new.subject, new.slot, new.variant_id
ON CONFLICT (tenant_id, subject_kind, subject, slot, variant_id) DO UPDATE
SET clicks = kept.clicks + excluded.clicks,
    uniques = kept.uniques + excluded.uniques,
    humans = kept.humans + excluded.humans,
    human_uniques = kept.human_uniques + excluded.human_uniques,
    conversions = kept.conversions + excluded.conversions,
    human_conversions = kept.human_conversions + excluded.human_conversions,
    visits = kept.visits + excluded.visits,
    human_visits = kept.human_visits + excluded.human_visits,
    page_clicks = kept.page_clicks + excluded.page_clicks,
    checkouts = kept.checkouts + excluded.checkouts,
    sales = kept.sales + excluded.sales,
    prefetches = kept.prefetches + excluded.prefetches;

-- name: add_to_days(tenant_ids, kinds, subjects, variant_ids, days, dimensions, values, clicks, uniques, humans, human_uniques, conversions, human_conversions, visits, human_visits)!
INSERT INTO traffic_days AS kept (
    tenant_id, subject_kind, subject, variant_id, day, dimension, value, clicks, uniques, humans,
    human_uniques, conversions, human_conversions, visits, human_visits)
SELECT *
FROM unnest(
    CAST(:tenant_ids AS uuid[]), CAST(:kinds AS smallint[]), CAST(:subjects AS uuid[]),
    CAST(:variant_ids AS uuid[]), CAST(:days AS date[]), CAST(:dimensions AS smallint[]),
    CAST(:values AS text[]), CAST(:clicks AS bigint[]), CAST(:uniques AS bigint[]),
    CAST(:humans AS bigint[]), CAST(:human_uniques AS bigint[]), CAST(:conversions AS bigint[]),
    CAST(:human_conversions AS bigint[]), CAST(:visits AS bigint[]), CAST(:human_visits AS bigint[])
) AS new (tenant_id, subject_kind, subject, variant_id, day, dimension, value)
ORDER BY new.tenant_id, new.subject_kind, new.subject, new.dimension, new.day, new.value, new.variant_id
ON CONFLICT (tenant_id, subject_kind, subject, dimension, day, value, variant_id) DO UPDATE
SET clicks = kept.clicks + excluded.clicks,
    uniques = kept.uniques + excluded.uniques,
    humans = kept.humans + excluded.humans,
    human_uniques = kept.human_uniques + excluded.human_uniques,
    conversions = kept.conversions + excluded.conversions,
    human_conversions = kept.human_conversions + excluded.human_conversions,
    visits = kept.visits + excluded.visits,
    human_visits = kept.human_visits + excluded.human_visits;

-- name: add_to_revenue(tenant_ids, kinds, subjects, variant_ids, dimensions, slots, values, currencies, sales, gross, upsold, refunded, commission)!
INSERT INTO revenue_slots AS kept (
    tenant_id, subject_kind, subject, variant_id, dimension, slot, value, currency, sales, gross_minor,
    upsold_minor, refunded_minor, commission_minor)
SELECT *
FROM unnest(
    CAST(:tenant_ids AS uuid[]), CAST(:kinds AS smallint[]), CAST(:subjects AS uuid[]),
    CAST(:variant_ids AS uuid[]), CAST(:dimensions AS smallint[]), CAST(:slots AS timestamptz[]),
    CAST(:values AS text[]), CAST(:currencies AS text[]), CAST(:sales AS bigint[]),
    CAST(:gross AS bigint[]), CAST(:upsold AS bigint[]), CAST(:refunded AS bigint[]),
    CAST(:commission AS bigint[])
) AS new (tenant_id, subject_kind, subject, variant_id, dimension, slot, value, currency)
ORDER BY new.tenant_id, new.subject_kind, new.subject, new.dimension, new.slot, new.value,
         new.variant_id, new.currency
ON CONFLICT (tenant_id, subject_kind, subject, dimension, slot, value, variant_id, currency) DO UPDATE
SET sales = kept.sales + excluded.sales,
    gross_minor = kept.gross_minor + excluded.gross_minor,
    upsold_minor = kept.upsold_minor + excluded.upsold_minor,
    refunded_minor = kept.refunded_minor + excluded.refunded_minor,
    commission_minor = kept.commission_minor + excluded.commission_minor;

-- name: add_campaigns(tenant_ids, ids, project_ids, names)!
INSERT INTO campaigns (tenant_id, id, project_id, name)
SELECT *
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:project_ids AS uuid[]),
            CAST(:names AS text[])) AS new (tenant_id, id, project_id, name)
ORDER BY new.tenant_id, new.id
ON CONFLICT (tenant_id, id) DO NOTHING;

-- name: add_to_conversions(tenant_ids, link_ids, variant_ids, conversions)!
-- Rows of totals are there, as a click is. Locked in order of key first.
WITH new AS (
    SELECT *
    FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:link_ids AS uuid[]), CAST(:variant_ids AS uuid[]),
                CAST(:conversions AS bigint[])) AS new (tenant_id, link_id, variant_id, conversions)
), locked AS (
    SELECT t.tenant_id, t.link_id, t.variant_id, new.conversions
    FROM click_totals t JOIN new USING (tenant_id, link_id, variant_id)
    ORDER BY t.tenant_id, t.link_id, t.variant_id
    FOR UPDATE OF t
)
UPDATE click_totals t
SET conversions = t.conversions + locked.conversions
FROM locked
WHERE t.tenant_id = locked.tenant_id AND t.link_id = locked.link_id AND t.variant_id = locked.variant_id;
