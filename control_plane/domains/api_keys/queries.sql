-- name: insert_key(tenant_id, id, user_id, kind, name, key_hash, key_prefix, now)^
INSERT INTO api_keys (tenant_id, id, user_id, kind, name, key_hash, key_prefix, created_at)
VALUES (:tenant_id, :id, :user_id, :kind, :name, :key_hash, :key_prefix, :now)
RETURNING id, name, key_prefix, created_at, last_used_at, revoked_at;

-- name: list_active_keys(tenant_id, user_id, kind)
SELECT id, name, key_prefix, created_at, last_used_at, revoked_at
FROM api_keys
WHERE tenant_id = :tenant_id AND user_id = :user_id AND kind = :kind AND revoked_at IS NULL
ORDER BY created_at DESC, id DESC;

-- name: revoke_key(now, tenant_id, user_id, key_id, kind)$
UPDATE api_keys
SET revoked_at = :now
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = :key_id AND kind = :kind
  AND revoked_at IS NULL
RETURNING id;

-- name: use_key(now, key_hash, kind)^
-- Find the holder of a key, if they may act, and note its use, at most once a second, in one round trip.
WITH used AS (
    UPDATE api_keys
    SET last_used_at = :now
    WHERE key_hash = :key_hash AND kind = :kind AND revoked_at IS NULL
      AND (last_used_at IS NULL OR last_used_at < :now::timestamptz - interval '1 second')
)
SELECT k.id AS key_id, k.tenant_id, k.user_id,
       p.code, p.name, p.api_access, p.api_requests_per_hour
FROM api_keys k
JOIN tenants t ON t.id = k.tenant_id
JOIN plans p ON p.code = t.plan_code
JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
WHERE k.key_hash = :key_hash AND k.kind = :kind AND k.revoked_at IS NULL
  AND u.deleted_at IS NULL AND u.is_active
  AND (u.banned_at IS NULL OR u.banned_until <= :now)
  AND t.status IN ('Active', 'Trial');
