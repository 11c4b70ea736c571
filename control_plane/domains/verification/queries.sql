-- name: supersede(now, tenant_id, user_id, purpose)!
-- Whoever issues holds the user's row (lock_user), so that two at once follow one another.
UPDATE verifications
SET consumed_at = :now
WHERE tenant_id = :tenant_id AND user_id = :user_id AND purpose = :purpose AND consumed_at IS NULL;

-- name: insert_verification(tenant_id, id, user_id, purpose, destination, token_hash, code_hash, now, expires_at)!
INSERT INTO verifications (tenant_id, id, user_id, purpose, destination, token_hash, code_hash, created_at,
                           expires_at)
VALUES (:tenant_id, :id, :user_id, :purpose, :destination, :token_hash, :code_hash, :now, :expires_at);

-- name: count_since(tenant_id, user_id, purpose, since)$
SELECT count(*) FROM verifications
WHERE tenant_id = :tenant_id AND user_id = :user_id AND purpose = :purpose AND created_at > :since;

-- name: count_attempt(tenant_id, token_hash, now)^
-- Count a try of what is alive. Of several at once, each waits for the one before it.
UPDATE verifications
SET attempts = attempts + 1
WHERE tenant_id = :tenant_id AND token_hash = :token_hash AND consumed_at IS NULL AND expires_at > :now
RETURNING id, user_id, purpose, destination, code_hash, attempts;

-- name: consume(now, tenant_id, id)!
UPDATE verifications SET consumed_at = :now WHERE tenant_id = :tenant_id AND id = :id;

-- name: is_alive(tenant_id, token_hash, purpose, now)$
SELECT EXISTS (
    SELECT FROM verifications
    WHERE tenant_id = :tenant_id AND token_hash = :token_hash AND purpose = :purpose
      AND consumed_at IS NULL AND expires_at > :now
);

-- name: find_since(tenant_id, token_hash, since)^
SELECT user_id, purpose, destination
FROM verifications
WHERE tenant_id = :tenant_id AND token_hash = :token_hash AND created_at > :since;
