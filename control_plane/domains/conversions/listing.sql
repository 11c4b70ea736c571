-- Three lists of the same rows; <thing>_names, _ids, _name and _project: listing.Reference.

-- name: count_listed(tenant_id, kind, low, high, project_id, status, product_id, offer_id, visit_names, click_names, click_ids, click_name, click_project, checkout_names, checkout_name, checkout_project, sale_names, sale_ids, sale_name, sale_project)$
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
