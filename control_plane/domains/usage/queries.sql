-- name: claim_batch(writer, sequence, now)$
-- Gives nothing when the batch was written before.
INSERT INTO usage_writers AS w (id, sequence, updated_at)
VALUES (:writer, :sequence, :now)
ON CONFLICT (id) DO UPDATE
SET sequence = excluded.sequence, updated_at = excluded.updated_at
WHERE w.sequence < excluded.sequence
RETURNING id;

-- name: forget_writers(before)!
DELETE FROM usage_writers WHERE updated_at < :before;

-- name: add_calls(tenant_ids, days, calls)!
-- In order of key, so that two processes with the same tenants wait for each other, never crosswise.
-- A tenant that is gone is passed over: one row must not hold up the others.
INSERT INTO usage_days AS u (tenant_id, day, api_calls)
SELECT new.tenant_id, new.day, new.calls
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:days AS date[]), CAST(:calls AS bigint[]))
    AS new (tenant_id, day, calls)
JOIN tenants t ON t.id = new.tenant_id
ORDER BY new.tenant_id, new.day
ON CONFLICT (tenant_id, day) DO UPDATE SET api_calls = u.api_calls + excluded.api_calls;

-- name: add_active_users(tenant_ids, user_ids, days)!
INSERT INTO active_user_days (tenant_id, day, user_id)
SELECT new.tenant_id, new.day, new.user_id
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:user_ids AS uuid[]), CAST(:days AS date[]))
    AS new (tenant_id, user_id, day)
JOIN users u ON u.tenant_id = new.tenant_id AND u.id = new.user_id
ORDER BY new.tenant_id, new.day, new.user_id
ON CONFLICT DO NOTHING;

-- name: touch_users(tenant_ids, user_ids, moments)!
-- Passes over whoever is being changed right now: they will be seen again.
UPDATE users u
SET last_active_at = greatest(u.last_active_at, seen.moment)
FROM (
    SELECT u.tenant_id, u.id, new.moment
    FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:user_ids AS uuid[]), CAST(:moments AS timestamptz[]))
        AS new (tenant_id, user_id, moment)
    JOIN users u ON u.tenant_id = new.tenant_id AND u.id = new.user_id
    FOR NO KEY UPDATE OF u SKIP LOCKED
) seen
WHERE u.tenant_id = seen.tenant_id AND u.id = seen.id;

-- name: add_key_uses(tenant_ids, key_ids, uses, moments)!
-- Locked in order, so that two processes with the same keys wait for each other, never crosswise.
UPDATE api_keys k
SET usage_count = k.usage_count + used.uses, last_used_at = greatest(k.last_used_at, used.moment)
FROM (
    SELECT k.tenant_id, k.id, new.uses, new.moment
    FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:key_ids AS uuid[]), CAST(:uses AS bigint[]),
                CAST(:moments AS timestamptz[])) AS new (tenant_id, key_id, uses, moment)
    JOIN api_keys k ON k.tenant_id = new.tenant_id AND k.id = new.key_id
    ORDER BY k.tenant_id, k.id
    FOR NO KEY UPDATE OF k
) used
WHERE k.tenant_id = used.tenant_id AND k.id = used.id;

-- name: list_days(tenant_id, first, last)
SELECT days.day, coalesce(s.redirects, 0) AS redirects, coalesce(c.api_calls, 0) AS api_calls,
       coalesce(a.active_users, 0) AS active_users
FROM (
    SELECT CAST(:first AS date) + n AS day
    FROM generate_series(0, CAST(:last AS date) - CAST(:first AS date)) n
) days
LEFT JOIN (
    SELECT (slot AT TIME ZONE 'UTC')::date AS day, sum(clicks - prefetches)::bigint AS redirects
    FROM traffic_slots
    WHERE tenant_id = :tenant_id AND subject_kind = 1
      AND slot >= CAST(:first AS date)::timestamp AT TIME ZONE 'UTC'
      AND slot < (CAST(:last AS date) + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1
) s ON s.day = days.day
LEFT JOIN (
    SELECT day, api_calls
    FROM usage_days
    WHERE tenant_id = :tenant_id AND day BETWEEN :first AND :last
) c ON c.day = days.day
LEFT JOIN (
    SELECT day, count(*) AS active_users
    FROM active_user_days
    WHERE tenant_id = :tenant_id AND day BETWEEN :first AND :last
    GROUP BY day
) a ON a.day = days.day
ORDER BY days.day;

-- name: list_allowances(tenant_ids, day_start)
SELECT t.id, t.monthly_render_qty, p.parallel_renders,
       (SELECT coalesce(sum(s.clicks - s.prefetches), 0)::bigint
        FROM traffic_slots s
        WHERE s.tenant_id = t.id AND s.subject_kind = 1 AND s.slot >= :day_start) AS redirects_today
FROM tenants t
JOIN plans p ON p.code = t.plan_code
WHERE t.id = ANY (CAST(:tenant_ids AS uuid[]));
