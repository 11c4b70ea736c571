-- name: lock_projects(keys)$
-- Conversions of one project are written by one transaction after the other: what two of them could do to
-- one sale at once needs no further thought. In order, so that nobody waits crosswise.
SELECT count(pg_advisory_xact_lock(key))
FROM (SELECT DISTINCT key FROM unnest(CAST(:keys AS bigint[])) AS key ORDER BY key) AS in_order;

-- name: list_projects(tenant_ids, project_ids)
SELECT p.tenant_id, p.id
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:project_ids AS uuid[])) AS wanted (tenant_id, id)
JOIN projects p ON p.tenant_id = wanted.tenant_id AND p.id = wanted.id;

-- name: insert_rows(rows)
-- rows: JSON objects by column. Those whose (project, kind, external id) is there already are passed over.
INSERT INTO conversions (
    tenant_id, id, project_id, kind, external_id, status, is_chargeback, visit_id, click_id, checkout_id,
    sale_id, parent_sale_id, product_id, offer_id, transaction_id, reason, currency, amount_minor,
    commission_minor, source, counted_at, landed_at, updated_at)
SELECT r.tenant_id, r.id, r.project_id, r.kind, r.external_id, r.status, r.is_chargeback, r.visit_id,
       r.click_id, r.checkout_id, r.sale_id, r.parent_sale_id, r.product_id, r.offer_id, r.transaction_id,
       r.reason, r.currency, r.amount_minor, r.commission_minor, r.source, r.counted_at, r.landed_at,
       r.landed_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    tenant_id uuid, id uuid, project_id uuid, kind smallint, external_id text, status text,
    is_chargeback boolean, visit_id text, click_id text, checkout_id text, sale_id text,
    parent_sale_id text, product_id text, offer_id text, transaction_id text, reason text, currency text,
    amount_minor bigint, commission_minor bigint, source text, counted_at timestamptz,
    landed_at timestamptz)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: update_rows(rows, now)!
UPDATE conversions c
SET status = r.status, rejection = r.rejection, refunded_minor = r.refunded_minor,
    upsold_minor = r.upsold_minor, target_id = r.target_id, attributed_click = r.attributed_click,
    link_id = r.link_id, variant_id = r.variant_id, clicked_at = r.clicked_at, counted_at = r.counted_at,
    waits_for = r.waits_for, next_look_at = r.next_look_at, looks = r.looks, updated_at = :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    tenant_id uuid, id uuid, status text, rejection text, refunded_minor bigint, upsold_minor bigint,
    target_id uuid, attributed_click uuid, link_id uuid, variant_id uuid, clicked_at timestamptz,
    counted_at timestamptz, waits_for text, next_look_at timestamptz, looks smallint)
WHERE c.tenant_id = r.tenant_id AND c.id = r.id;

-- name: find_by_external_ids(tenant_ids, project_ids, kinds, external_ids)
SELECT c.*
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:project_ids AS uuid[]), CAST(:kinds AS smallint[]),
            CAST(:external_ids AS text[])) AS wanted (tenant_id, project_id, kind, external_id)
JOIN conversions c USING (tenant_id, project_id, kind, external_id);

-- name: find_by_ids(tenant_ids, ids)
SELECT c.*
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
JOIN conversions c USING (tenant_id, id);

-- name: find_children(tenant_ids, target_ids)
SELECT c.*
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:target_ids AS uuid[])) AS wanted (tenant_id, target_id)
JOIN conversions c USING (tenant_id, target_id);

-- name: find_waiting(tenant_ids, project_ids, words)
-- What waits for a sale or upsell that these words name.
SELECT c.*
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:project_ids AS uuid[]), CAST(:words AS text[]))
    AS wanted (tenant_id, project_id, word)
JOIN conversions c
  ON c.tenant_id = wanted.tenant_id AND c.project_id = wanted.project_id AND c.sale_id = wanted.word
WHERE c.target_id IS NULL AND c.kind IN (3, 4)
UNION
SELECT c.*
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:project_ids AS uuid[]), CAST(:words AS text[]))
    AS wanted (tenant_id, project_id, word)
JOIN conversions c
  ON c.tenant_id = wanted.tenant_id AND c.project_id = wanted.project_id AND c.parent_sale_id = wanted.word
WHERE c.target_id IS NULL;

-- name: find_clicks(tenant_ids, ids)
SELECT c.tenant_id, c.id, c.link_id, c.variant_id, c.project_id, c.visit_id, c.is_bot, c.country, c.device,
       c.browser, c.os, c.referrer_domain, c.utm_source, c.utm_medium, c.utm_campaign, c.utm_content,
       c.utm_term
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
JOIN clicks c USING (tenant_id, id);

-- name: find_clicks_by_word(tenant_ids, words)
SELECT c.tenant_id, c.click_id AS word, c.id
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:words AS text[])) AS wanted (tenant_id, click_id)
JOIN clicks c USING (tenant_id, click_id);

-- name: find_visits(tenant_ids, ids)
SELECT v.tenant_id, v.id, v.click_id
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
JOIN visits v USING (tenant_id, id);

-- name: lock_clicks(tenant_ids, ids)
-- And tell whether they are conversions so far. In order of key.
SELECT c.tenant_id, c.id, c.is_conversion, c.is_bot
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
JOIN clicks c USING (tenant_id, id)
ORDER BY c.tenant_id, c.id
FOR UPDATE OF c;

-- name: list_converted(tenant_ids, ids)
-- Which of the clicks brought a sale that was not rejected. LIMIT 1: click by click, never all sales of a tenant.
SELECT wanted.tenant_id, wanted.id
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
CROSS JOIN LATERAL (
    SELECT FROM conversions
    WHERE tenant_id = wanted.tenant_id AND attributed_click = wanted.id AND kind = 2 AND status <> 'rejected'
    LIMIT 1
) sale;

-- name: mark_clicks(tenant_ids, ids, are_conversions)!
UPDATE clicks c
SET is_conversion = wanted.is_conversion
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:are_conversions AS boolean[]))
    AS wanted (tenant_id, id, is_conversion)
WHERE c.tenant_id = wanted.tenant_id AND c.id = wanted.id;

-- name: claim_waiting(now, limit)
SELECT tenant_id, project_id, id
FROM conversions
WHERE waits_for IS NOT NULL AND next_look_at <= :now
ORDER BY next_look_at
LIMIT :limit;

-- name: find_reported_projects(tenant_id, ids)
SELECT id, status, currency
FROM projects
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]));

-- name: find_first_projects(tenant_id, limit)
SELECT id, status, currency
FROM projects
WHERE tenant_id = :tenant_id
ORDER BY id
LIMIT :limit;

-- name: count_listed(tenant_id, kind, low, high, project_id, status, product_id, offer_id, visit_names, click_names, click_ids, click_name, click_project, checkout_names, checkout_name, checkout_project, sale_names, sale_ids, sale_name, sale_project)$
-- <thing>_names, _ids, _name and _project, here and in the two lists that follow: model.Reference.
SELECT count(*)
FROM conversions
WHERE tenant_id = :tenant_id AND kind = :kind AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:product_id AS text) IS NULL OR product_id = :product_id)
  AND (CAST(:offer_id AS text) IS NULL OR offer_id = :offer_id)
  AND (CAST(:visit_names AS text[]) IS NULL OR visit_id = ANY(:visit_names))
  AND (CAST(:click_names AS text[]) IS NULL
       OR click_id = ANY(:click_names) OR attributed_click = ANY(:click_ids)
       OR (click_id = :click_name AND project_id = :click_project))
  AND (CAST(:checkout_names AS text[]) IS NULL
       OR checkout_id = ANY(:checkout_names)
       OR (checkout_id = :checkout_name AND project_id = :checkout_project))
  AND (CAST(:sale_names AS text[]) IS NULL
       OR sale_id = ANY(:sale_names) OR parent_sale_id = ANY(:sale_names) OR target_id = ANY(:sale_ids)
       OR (sale_id = :sale_name AND project_id = :sale_project)
       OR (parent_sale_id = :sale_name AND project_id = :sale_project));

-- name: find_older(tenant_id, kind, low, high, project_id, status, product_id, offer_id, visit_names, click_names, click_ids, click_name, click_project, checkout_names, checkout_name, checkout_project, sale_names, sale_ids, sale_name, sale_project, limit, offset)
SELECT id
FROM conversions
WHERE tenant_id = :tenant_id AND kind = :kind AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:product_id AS text) IS NULL OR product_id = :product_id)
  AND (CAST(:offer_id AS text) IS NULL OR offer_id = :offer_id)
  AND (CAST(:visit_names AS text[]) IS NULL OR visit_id = ANY(:visit_names))
  AND (CAST(:click_names AS text[]) IS NULL
       OR click_id = ANY(:click_names) OR attributed_click = ANY(:click_ids)
       OR (click_id = :click_name AND project_id = :click_project))
  AND (CAST(:checkout_names AS text[]) IS NULL
       OR checkout_id = ANY(:checkout_names)
       OR (checkout_id = :checkout_name AND project_id = :checkout_project))
  AND (CAST(:sale_names AS text[]) IS NULL
       OR sale_id = ANY(:sale_names) OR parent_sale_id = ANY(:sale_names) OR target_id = ANY(:sale_ids)
       OR (sale_id = :sale_name AND project_id = :sale_project)
       OR (parent_sale_id = :sale_name AND project_id = :sale_project))
ORDER BY id DESC
LIMIT :limit OFFSET :offset;

-- name: find_newer(tenant_id, kind, low, high, project_id, status, product_id, offer_id, visit_names, click_names, click_ids, click_name, click_project, checkout_names, checkout_name, checkout_project, sale_names, sale_ids, sale_name, sale_project, limit)
SELECT id
FROM conversions
WHERE tenant_id = :tenant_id AND kind = :kind AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:product_id AS text) IS NULL OR product_id = :product_id)
  AND (CAST(:offer_id AS text) IS NULL OR offer_id = :offer_id)
  AND (CAST(:visit_names AS text[]) IS NULL OR visit_id = ANY(:visit_names))
  AND (CAST(:click_names AS text[]) IS NULL
       OR click_id = ANY(:click_names) OR attributed_click = ANY(:click_ids)
       OR (click_id = :click_name AND project_id = :click_project))
  AND (CAST(:checkout_names AS text[]) IS NULL
       OR checkout_id = ANY(:checkout_names)
       OR (checkout_id = :checkout_name AND project_id = :checkout_project))
  AND (CAST(:sale_names AS text[]) IS NULL
       OR sale_id = ANY(:sale_names) OR parent_sale_id = ANY(:sale_names) OR target_id = ANY(:sale_ids)
       OR (sale_id = :sale_name AND project_id = :sale_project)
       OR (parent_sale_id = :sale_name AND project_id = :sale_project))
ORDER BY id
LIMIT :limit;

-- name: fetch_listed(tenant_id, kind, ids)
-- A sale that names a parent is none of its upsells: its money and its refunds are its own.
-- Of what was reported for a visit only, click_id is that of the click which it turned out to come from.
SELECT c.id, c.project_id, c.visit_id, coalesce(c.click_id, c.attributed_click::text) AS click_id,
       c.checkout_id, c.sale_id, c.parent_sale_id, c.external_id, c.status, c.rejection, c.is_chargeback,
       c.product_id, c.offer_id, c.transaction_id, c.reason, c.currency, c.amount_minor, c.commission_minor,
       CASE WHEN c.status = 'completed'
            THEN c.amount_minor + c.upsold_minor - c.refunded_minor - coalesce(
                (SELECT sum(u.refunded_minor) FROM conversions u
                 WHERE u.tenant_id = c.tenant_id AND u.target_id = c.id AND u.kind = 4
                   AND u.status = 'completed'), 0)
            ELSE 0 END::bigint AS net_minor
FROM conversions c
WHERE c.tenant_id = :tenant_id AND c.kind = :kind AND c.id = ANY(:ids);

-- name: find_named_conversions(tenant_id, kind, name, id)
-- By either id. Per project, because that is what the index of external ids begins with.
SELECT c.id, c.project_id, c.external_id AS name
FROM projects p
JOIN conversions c
  ON c.tenant_id = p.tenant_id AND c.project_id = p.id AND c.kind = :kind AND c.external_id = :name
WHERE p.tenant_id = :tenant_id
UNION
SELECT id, project_id, external_id
FROM conversions
WHERE tenant_id = :tenant_id AND id = :id AND kind = :kind;

-- name: find_named_clicks(tenant_id, name, id)
SELECT id, project_id, click_id AS name
FROM clicks
WHERE tenant_id = :tenant_id AND click_id = :name
UNION
SELECT id, project_id, click_id
FROM clicks
WHERE tenant_id = :tenant_id AND id = :id;
