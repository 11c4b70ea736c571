-- name: insert_key(tenant_id, id, user_id, kind, name, environment, key_hash, key_prefix, last4, scopes, allowed_ips, rate_limit_rpm, expires_at, now)^
INSERT INTO api_keys (tenant_id, id, user_id, kind, name, environment, key_hash, key_prefix, last4, scopes,
                      allowed_ips, rate_limit_rpm, expires_at, created_at)
VALUES (:tenant_id, :id, :user_id, :kind, :name, :environment, :key_hash, :key_prefix, :last4, :scopes,
        :allowed_ips, :rate_limit_rpm, :expires_at, :now)
RETURNING id, tenant_id, name, environment, key_prefix, last4, scopes, allowed_ips, rate_limit_rpm,
          expires_at, last_used_at, usage_count, created_at, revoked_at;

-- name: list_keys_of_user(tenant_id, user_id, kind)
SELECT id, tenant_id, name, environment, key_prefix, last4, scopes, allowed_ips, rate_limit_rpm,
       expires_at, last_used_at, usage_count, created_at, revoked_at
FROM api_keys
WHERE tenant_id = :tenant_id AND user_id = :user_id AND kind = :kind AND revoked_at IS NULL
ORDER BY created_at DESC, id DESC;

-- name: list_keys_of_tenant(tenant_id, kind)
SELECT id, tenant_id, name, environment, key_prefix, last4, scopes, allowed_ips, rate_limit_rpm,
       expires_at, last_used_at, usage_count, created_at, revoked_at
FROM api_keys
WHERE tenant_id = :tenant_id AND kind = :kind AND revoked_at IS NULL
ORDER BY created_at DESC, id DESC;

-- name: list_service_tokens()
SELECT id, tenant_id, name, environment, key_prefix, last4, scopes, allowed_ips, rate_limit_rpm,
       expires_at, last_used_at, usage_count, created_at, revoked_at
FROM api_keys
WHERE kind = 'service' AND revoked_at IS NULL
ORDER BY created_at DESC, id DESC;

-- name: fetch_key(tenant_id, key_id, kind)^
SELECT id, tenant_id, name, environment, key_prefix, last4, scopes, allowed_ips, rate_limit_rpm,
       expires_at, last_used_at, usage_count, created_at, revoked_at
FROM api_keys
WHERE tenant_id = :tenant_id AND id = :key_id AND kind = :kind;

-- name: find_tenant_of_service_token(key_id)$
SELECT tenant_id FROM api_keys WHERE id = :key_id AND kind = 'service';

-- name: revoke_key(now, reason, tenant_id, user_id, key_id, kind)$
-- user_id: only if it is a key of that user; NULL for anybody's.
UPDATE api_keys
SET revoked_at = :now, revoke_reason = :reason, version = version + 1
WHERE tenant_id = :tenant_id AND id = :key_id AND kind = :kind AND revoked_at IS NULL
  AND (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id)
RETURNING id;

-- name: find_key(key_hash, now)^
-- Revoked and expired ones too. Only keys of the links API act for a user, and fall with them; what a
-- service may do is no matter of the tenant of whoever let it in.
SELECT k.id, k.kind, k.tenant_id, k.user_id, k.key_prefix, k.scopes, k.allowed_ips, k.rate_limit_rpm,
       k.expires_at, k.revoked_at, p.code, p.name, p.api_access, p.api_requests_per_hour,
       (k.kind = 'service' OR t.status IN ('Active', 'Trial'))
       AND (k.kind <> 'links' OR (u.deleted_at IS NULL AND u.is_active
                                  AND (u.banned_at IS NULL OR u.banned_until <= :now))) AS is_holder_live
FROM api_keys k
JOIN tenants t ON t.id = k.tenant_id
JOIN plans p ON p.code = t.plan_code
LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
WHERE k.key_hash = :key_hash;

-- name: enqueue_publication(tenant_id, key_id)$
-- What edges know of the key: nothing, unless it may report sales.
WITH queued AS (INSERT INTO intake_outbox (tenant_id, key_id) VALUES (:tenant_id, :key_id))
SELECT pg_notify('link_outbox', '');

-- name: enqueue_publication_of_all(tenant_id)$
WITH changed AS (
    UPDATE api_keys
    SET version = version + 1
    WHERE tenant_id = :tenant_id AND kind = 'identity' AND 'sales:write' = ANY (scopes)
    RETURNING id
), queued AS (
    INSERT INTO intake_outbox (tenant_id, key_id) SELECT :tenant_id, id FROM changed
)
SELECT pg_notify('link_outbox', '');
