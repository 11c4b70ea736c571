-- name: claim_key(tenant_id, user_id, endpoint, key, fingerprint, resource_id, now)$
-- Waits for a concurrent claim of the same key to commit or roll back.
INSERT INTO idempotency_keys (tenant_id, user_id, endpoint, key, fingerprint, resource_id, created_at)
VALUES (:tenant_id, :user_id, :endpoint, :key, :fingerprint, :resource_id, :now)
ON CONFLICT DO NOTHING
RETURNING resource_id;

-- name: fetch_claim(tenant_id, user_id, endpoint, key)^
SELECT fingerprint, resource_id
FROM idempotency_keys
WHERE tenant_id = :tenant_id AND user_id = :user_id AND endpoint = :endpoint AND key = :key;
