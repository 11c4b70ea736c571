-- name: claim_key(tenant_id, holder_id, endpoint, key, fingerprint, resource_id, now)$
-- Waits for a concurrent claim of the same key to commit or roll back.
INSERT INTO idempotency_keys (tenant_id, holder_id, endpoint, key, fingerprint, resource_id, created_at)
VALUES (:tenant_id, :holder_id, :endpoint, :key, :fingerprint, :resource_id, :now)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: fetch_claim(tenant_id, holder_id, endpoint, key)^
SELECT fingerprint, resource_id, status, answer
FROM idempotency_keys
WHERE tenant_id = :tenant_id AND holder_id = :holder_id AND endpoint = :endpoint AND key = :key;

-- name: keep_answer(tenant_id, holder_id, endpoint, key, status, answer)!
UPDATE idempotency_keys
SET status = :status, answer = :answer
WHERE tenant_id = :tenant_id AND holder_id = :holder_id AND endpoint = :endpoint AND key = :key;

-- name: forget_answers(tenant_id)!
DELETE FROM idempotency_keys WHERE tenant_id = :tenant_id AND answer IS NOT NULL;
