-- name: count_visits(tenant_id, low, high, project_id, campaign, ad_group, keyword, device, country)$
SELECT count(*)
FROM visits
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:campaign AS text) IS NULL OR campaign = :campaign)
  AND (CAST(:ad_group AS text) IS NULL OR ad_group = :ad_group)
  AND (CAST(:keyword AS text) IS NULL OR keyword = :keyword)
  AND (CAST(:device AS text) IS NULL OR device = :device)
  AND (CAST(:country AS text) IS NULL OR country = :country);

-- name: find_older_visits(tenant_id, low, high, project_id, campaign, ad_group, keyword, device, country, limit, offset)
SELECT id
FROM visits
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:campaign AS text) IS NULL OR campaign = :campaign)
  AND (CAST(:ad_group AS text) IS NULL OR ad_group = :ad_group)
  AND (CAST(:keyword AS text) IS NULL OR keyword = :keyword)
  AND (CAST(:device AS text) IS NULL OR device = :device)
  AND (CAST(:country AS text) IS NULL OR country = :country)
ORDER BY id DESC
LIMIT :limit OFFSET :offset;

-- name: find_newer_visits(tenant_id, low, high, project_id, campaign, ad_group, keyword, device, country, limit)
SELECT id
FROM visits
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
  AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
  AND (CAST(:campaign AS text) IS NULL OR campaign = :campaign)
  AND (CAST(:ad_group AS text) IS NULL OR ad_group = :ad_group)
  AND (CAST(:keyword AS text) IS NULL OR keyword = :keyword)
  AND (CAST(:device AS text) IS NULL OR device = :device)
  AND (CAST(:country AS text) IS NULL OR country = :country)
ORDER BY id
LIMIT :limit;

-- name: fetch_visits(tenant_id, ids)
SELECT id, project_id, visitor_id, is_bot, click_id, landing_url, referrer, utm_source, utm_medium,
       utm_campaign, utm_content, utm_term, campaign, ad_group, keyword, network, gclid, country, device
FROM visits
WHERE tenant_id = :tenant_id AND id = ANY(:ids);
