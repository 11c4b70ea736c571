-- name: has_factor(tenant_id, user_id)$
SELECT EXISTS (
    SELECT FROM mfa_factors
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND verified_at IS NOT NULL
);

-- name: insert_challenge(tenant_id, challenge_id, user_id, token_hash, device_id, device_name, now, expires_at)!
INSERT INTO mfa_challenges (tenant_id, id, user_id, token_hash, device_id, device_name, created_at, expires_at)
VALUES (:tenant_id, :challenge_id, :user_id, :token_hash, :device_id, :device_name, :now, :expires_at);
