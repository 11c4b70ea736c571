-- name: fetch_click(tenant_id, click_id, user_id)^
-- user_id: only of a link of that user; NULL for anybody's, and for clicks on pages.
SELECT c.id, c.link_id, l.slug, c.variant_id, c.reason, c.link_version, c.country, c.is_prefetch, c.is_bot,
       c.bot_reason, c.verdict_version, c.is_conversion
FROM clicks c
LEFT JOIN links l ON l.tenant_id = c.tenant_id AND l.id = c.link_id
WHERE c.tenant_id = :tenant_id AND c.id = :click_id
  AND (CAST(:user_id AS uuid) IS NULL OR l.user_id = :user_id);

-- name: fetch_version(tenant_id, link_id, version)^
SELECT version, changed_at, record
FROM link_versions
WHERE tenant_id = :tenant_id AND link_id = :link_id AND version = :version;
