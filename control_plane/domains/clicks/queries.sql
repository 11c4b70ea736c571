-- name: count_all(tenant_id, link_id)$
SELECT coalesce(sum(clicks), 0)::bigint
FROM click_totals
WHERE tenant_id = :tenant_id AND link_id = :link_id;

-- name: count_hours(tenant_id, link_id, start, until)$
SELECT coalesce(sum(clicks), 0)::bigint
FROM click_hours
WHERE tenant_id = :tenant_id AND link_id = :link_id AND hour >= :start AND hour < :until;

-- name: count_rows(tenant_id, link_id, low, high)$
SELECT count(*)
FROM clicks
WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low AND id < :high;

-- name: find_hour(tenant_id, link_id, start, until, skip)^
-- The hour in which the click after `skip` newer ones lies, and how many lie in newer hours.
-- It reads hours from the newest one on and stops at the first that reaches far enough.
SELECT hour, (seen - clicks)::bigint AS newer
FROM (
    SELECT hour, sum(clicks) AS clicks, sum(sum(clicks)) OVER (ORDER BY hour DESC) AS seen
    FROM click_hours
    WHERE tenant_id = :tenant_id AND link_id = :link_id AND hour >= :start AND hour < :until
    GROUP BY hour
) hours
WHERE seen > :skip
ORDER BY hour DESC
LIMIT 1;

-- name: list_clicks(tenant_id, link_id, low, high, limit, offset)
SELECT id, link_id, variant_id, reason, is_prefetch, is_bot, is_conversion,
       host(ip_address) AS ip_address, country, referrer, user_agent
FROM clicks
WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low AND id < :high
ORDER BY id DESC
LIMIT :limit OFFSET :offset;
