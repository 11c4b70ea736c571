-- Waits for a concurrent claim of the same key to commit or roll back.
-- name: claim_key$
INSERT INTO idempotency_keys (tenant_id, user_id, endpoint, key, fingerprint, resource_id, created_at)
VALUES (:tenant_id, :user_id, :endpoint, :key, :fingerprint, :resource_id, :now)
ON CONFLICT DO NOTHING
RETURNING resource_id;

-- name: fetch_claim^
SELECT fingerprint, resource_id
FROM idempotency_keys
WHERE tenant_id = :tenant_id AND user_id = :user_id AND endpoint = :endpoint AND key = :key;
