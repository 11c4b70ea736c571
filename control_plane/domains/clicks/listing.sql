-- name: count_clicks(tenant_id, low, high, project_id, visit_ids, user_id)$
-- user_id: only of links of that user; NULL for everybody's, and for clicks on pages.
SELECT count(*)
FROM clicks
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:visit_ids AS text[]) IS NULL OR visit_id = ANY(:visit_ids))
  AND (CAST(:user_id AS uuid) IS NULL
       OR link_id IN (SELECT id FROM links WHERE tenant_id = :tenant_id AND user_id = :user_id));

-- name: find_older_clicks(tenant_id, low, high, project_id, visit_ids, user_id, limit, offset)
SELECT id
FROM clicks
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:visit_ids AS text[]) IS NULL OR visit_id = ANY(:visit_ids))
  AND (CAST(:user_id AS uuid) IS NULL
       OR link_id IN (SELECT id FROM links WHERE tenant_id = :tenant_id AND user_id = :user_id))
ORDER BY id DESC
LIMIT :limit OFFSET :offset;

-- name: find_newer_clicks(tenant_id, low, high, project_id, visit_ids, user_id, limit)
SELECT id
FROM clicks
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:visit_ids AS text[]) IS NULL OR visit_id = ANY(:visit_ids))
  AND (CAST(:user_id AS uuid) IS NULL
       OR link_id IN (SELECT id FROM links WHERE tenant_id = :tenant_id AND user_id = :user_id))
ORDER BY id
LIMIT :limit;

-- name: fetch_clicks(tenant_id, ids, user_id)
-- What a link's variant leads to now stands for the target of a redirect.
SELECT c.id, c.project_id, c.visit_id, coalesce(c.click_id, c.id::text) AS click_id,
       coalesce(c.target_url, v.destination_url) AS target_url, c.element_type, c.element_text, c.campaign,
       c.ad_group, c.keyword, c.device, c.country, c.link_id, c.variant_id, c.is_bot, c.is_conversion
FROM clicks c
LEFT JOIN variants v ON v.tenant_id = c.tenant_id AND v.link_id = c.link_id AND v.id = c.variant_id
LEFT JOIN links l ON l.tenant_id = c.tenant_id AND l.id = c.link_id
WHERE c.tenant_id = :tenant_id AND c.id = ANY(:ids)
  AND (CAST(:user_id AS uuid) IS NULL OR l.user_id = :user_id);
