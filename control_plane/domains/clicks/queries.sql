-- name: count_all(tenant_id, link_id)$
SELECT coalesce(sum(clicks), 0)::bigint
FROM click_totals
WHERE tenant_id = :tenant_id AND link_id = :link_id;

-- name: count_slots(tenant_id, link_id, start, until)$
SELECT coalesce(sum(clicks), 0)::bigint
FROM traffic_slots
WHERE tenant_id = :tenant_id AND subject_kind = 1 AND subject = :link_id
  AND slot >= :start AND slot < :until;

-- name: count_rows(tenant_id, link_id, low, high)$
SELECT count(*)
FROM clicks
WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low AND id < :high;

-- name: find_slot(tenant_id, link_id, start, until, skip)^
-- The slot in which the click after `skip` newer ones lies, and how many lie in newer slots.
-- It reads slots from the newest one on and stops at the first that reaches far enough.
SELECT slot, (seen - clicks)::bigint AS newer
FROM (
    SELECT slot, sum(clicks) AS clicks, sum(sum(clicks)) OVER (ORDER BY slot DESC) AS seen
    FROM traffic_slots
    WHERE tenant_id = :tenant_id AND subject_kind = 1 AND subject = :link_id
      AND slot >= :start AND slot < :until
    GROUP BY slot
) slots
WHERE seen > :skip
ORDER BY slot DESC
LIMIT 1;

-- name: list_clicks(tenant_id, link_id, low, high, limit, offset)
SELECT id, link_id, variant_id, reason, is_prefetch, is_bot, is_conversion,
       host(ip_address) AS ip_address, country, referrer, user_agent
FROM clicks
WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low AND id < :high
ORDER BY id DESC
LIMIT :limit OFFSET :offset;
