-- name: insert_attempt(tenant_id, state_hash, provider, nonce, code_verifier, redirect_uri, user_id, created_at, expires_at)!
INSERT INTO oauth_attempts (tenant_id, state_hash, provider, nonce, code_verifier, redirect_uri, user_id,
                            created_at, expires_at)
VALUES (:tenant_id, :state_hash, :provider, :nonce, :code_verifier, :redirect_uri, :user_id,
        :created_at, :expires_at);

-- name: delete_expired_attempts(tenant_id, now, limit)!
DELETE FROM oauth_attempts
WHERE tenant_id = :tenant_id AND state_hash IN (
    SELECT state_hash FROM oauth_attempts
    WHERE tenant_id = :tenant_id AND expires_at <= :now
    ORDER BY expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
);

-- name: consume_attempt(now, tenant_id, state_hash, provider, redirect_uri, user_id)^
-- Use an attempt up. Of several at once, one gets the row; the others wait for it, and then get none.
UPDATE oauth_attempts
SET consumed_at = :now
WHERE tenant_id = :tenant_id AND state_hash = :state_hash AND provider = :provider
  AND (:redirect_uri::text IS NULL OR redirect_uri = :redirect_uri)
  AND user_id IS NOT DISTINCT FROM :user_id
  AND consumed_at IS NULL AND expires_at > :now
RETURNING provider, state_hash, nonce, code_verifier AS sealed_verifier, redirect_uri, user_id, created_at,
          expires_at;

-- name: lock_identity(key)$
-- Until the transaction ends, nobody else makes a user of this identity.
SELECT pg_advisory_xact_lock(hashtextextended(:key, 0));

-- name: find_user(now, tenant_id, issuer, subject)^
SELECT u.id AS user_id,
       u.is_active AND (u.banned_at IS NULL OR coalesce(u.banned_until <= :now, false))
       AND t.status IN ('Active', 'Trial') AS may_sign_in
FROM federated_identities i
JOIN users u ON u.tenant_id = i.tenant_id AND u.id = i.user_id
JOIN tenants t ON t.id = i.tenant_id
WHERE i.tenant_id = :tenant_id AND i.issuer = :issuer AND i.subject = :subject AND u.deleted_at IS NULL;

-- name: delete_orphan(tenant_id, issuer, subject)!
-- Forget whose identity it was, if that user is deleted.
DELETE FROM federated_identities i
USING users u
WHERE i.tenant_id = :tenant_id AND i.issuer = :issuer AND i.subject = :subject
  AND u.tenant_id = i.tenant_id AND u.id = i.user_id AND u.deleted_at IS NOT NULL;

-- name: insert_identity(tenant_id, provider, issuer, subject, user_id, email, now)$
-- Gives nothing when it is somebody's already, or the user has another one at the provider.
INSERT INTO federated_identities (tenant_id, provider, issuer, subject, user_id, email, created_at)
VALUES (:tenant_id, :provider, :issuer, :subject, :user_id, :email, :now)
ON CONFLICT DO NOTHING
RETURNING user_id;

-- name: list_identities(tenant_id, user_id)
SELECT provider, issuer, subject, email, created_at
FROM federated_identities
WHERE tenant_id = :tenant_id AND user_id = :user_id
ORDER BY provider;

-- name: lock_user(tenant_id, user_id)$
-- Tell whether a user has a password, and keep others from changing how they sign in.
SELECT password_hash IS NOT NULL FROM users
WHERE tenant_id = :tenant_id AND id = :user_id AND deleted_at IS NULL
FOR UPDATE;

-- name: delete_identity(tenant_id, user_id, provider)!
DELETE FROM federated_identities
WHERE tenant_id = :tenant_id AND user_id = :user_id AND provider = :provider;
