-- name: fetch_account(user_id, now)^
SELECT u.tenant_id, u.id AS user_id, p.code, p.name, p.api_access, p.api_requests_per_hour
FROM users u
JOIN tenants t ON t.id = u.tenant_id
JOIN plans p ON p.code = t.plan_code
WHERE u.id = :user_id
  AND u.deleted_at IS NULL AND u.is_active
  AND (u.banned_at IS NULL OR u.banned_until <= :now)
  AND t.status IN ('Active', 'Trial');
