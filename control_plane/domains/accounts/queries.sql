-- name: fetch_account(user_id, now)^
SELECT u.tenant_id, u.id AS user_id, p.code, p.name, p.api_access, p.api_requests_per_hour
FROM users u
JOIN tenants t ON t.id = u.tenant_id
JOIN plans p ON p.code = t.plan_code
WHERE u.id = :user_id
  AND u.deleted_at IS NULL AND u.is_active
  AND (u.banned_at IS NULL OR u.banned_until <= :now)
  AND t.status IN ('Active', 'Trial');

-- name: appoint(now, tenant_id, user_id, password_hash)!
-- Whatever kept the user out before, they may do anything now.
UPDATE users
SET is_superadmin = true, role = 'admin', is_active = true, banned_at = NULL, banned_until = NULL,
    email_verified_at = coalesce(email_verified_at, :now), password_hash = :password_hash,
    password_changed_at = :now, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :user_id;
