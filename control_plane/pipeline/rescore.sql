-- name: list_tenants()
SELECT id FROM tenants ORDER BY id;

-- name: hold_clicks(tenant_id, after, until, limit)
-- The next clicks in order of id, held until the transaction ends. Those whose visitor was forgotten keep
-- the verdict that was passed while there was something to judge by.
SELECT id, link_id, variant_id, project_id, visitor_id, host(ip_address) AS ip, user_agent, is_prefetch,
       is_bot, bot_reason, verdict_version, is_unique, is_conversion, country, device, browser, os,
       referrer_domain, utm_source, utm_medium, utm_campaign, utm_content, utm_term
FROM clicks
WHERE tenant_id = :tenant_id AND id > :after AND id < :until
  AND (visitor_id IS NOT NULL OR user_agent IS NOT NULL OR ip_address IS NOT NULL)
ORDER BY id
LIMIT :limit
FOR UPDATE;

-- name: hold_visits(tenant_id, after, until, limit)
SELECT id, project_id, visitor_id, host(ip_address) AS ip, user_agent, bot_reason = 'prefetch' AS is_prefetch,
       is_bot, bot_reason, verdict_version, country, device, browser, os, referrer_domain, utm_source,
       utm_medium, utm_campaign, utm_content, utm_term
FROM visits
WHERE tenant_id = :tenant_id AND id > :after AND id < :until
  AND (visitor_id IS NOT NULL OR user_agent IS NOT NULL OR ip_address IS NOT NULL)
ORDER BY id
LIMIT :limit
FOR UPDATE;

-- name: judge_clicks(tenant_id, ids, reasons, version)!
UPDATE clicks
SET is_bot = new.reason IS NOT NULL, bot_reason = new.reason, verdict_version = :version
FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS new (id, reason)
WHERE clicks.tenant_id = :tenant_id AND clicks.id = new.id;

-- name: judge_visits(tenant_id, ids, reasons, version)!
UPDATE visits
SET is_bot = new.reason IS NOT NULL, bot_reason = new.reason, verdict_version = :version
FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS new (id, reason)
WHERE visits.tenant_id = :tenant_id AND visits.id = new.id;

-- name: add_bots(tenant_id, link_ids, variant_ids, bots)!
-- In order of key, as whoever adds to totals does.
WITH held AS (
    SELECT t.link_id, t.variant_id, new.bots
    FROM unnest(CAST(:link_ids AS uuid[]), CAST(:variant_ids AS uuid[]), CAST(:bots AS bigint[]))
        AS new (link_id, variant_id, bots)
    JOIN click_totals t ON t.tenant_id = :tenant_id AND t.link_id = new.link_id AND t.variant_id = new.variant_id
    ORDER BY t.link_id, t.variant_id
    FOR UPDATE OF t
)
UPDATE click_totals t
SET bots = t.bots + held.bots
FROM held
WHERE t.tenant_id = :tenant_id AND t.link_id = held.link_id AND t.variant_id = held.variant_id;
