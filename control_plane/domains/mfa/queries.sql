-- name: has_factor(tenant_id, user_id)$
SELECT EXISTS (
    SELECT FROM mfa_factors
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND verified_at IS NOT NULL
);

-- name: insert_challenge(tenant_id, challenge_id, user_id, token_hash, device_id, device_name, now, expires_at)!
INSERT INTO mfa_challenges (tenant_id, id, user_id, token_hash, device_id, device_name, created_at, expires_at)
VALUES (:tenant_id, :challenge_id, :user_id, :token_hash, :device_id, :device_name, :now, :expires_at);

-- name: fetch_challenge(tenant_id, token_hash, now, max_attempts)^
SELECT id, user_id, device_id, device_name
FROM mfa_challenges
WHERE tenant_id = :tenant_id AND token_hash = :token_hash
  AND consumed_at IS NULL AND expires_at > :now AND attempts < :max_attempts;

-- name: count_attempt(tenant_id, challenge_id, max_attempts)$
-- Gives nothing when the challenge is over: met, or out of tries.
UPDATE mfa_challenges
SET attempts = attempts + 1
WHERE tenant_id = :tenant_id AND id = :challenge_id AND consumed_at IS NULL AND attempts < :max_attempts
RETURNING true;

-- name: consume_challenge(now, tenant_id, challenge_id)!
UPDATE mfa_challenges SET consumed_at = :now WHERE tenant_id = :tenant_id AND id = :challenge_id;

-- name: lock_holder(tenant_id, user_id, now)^
-- Find a user who may sign in, and let nobody else touch their factors until the transaction ends.
SELECT u.tenant_id, u.id AS user_id, t.name AS tenant_name, u.email, u.phone_number, u.language
FROM users u
JOIN tenants t ON t.id = u.tenant_id
WHERE u.tenant_id = :tenant_id AND u.id = :user_id
  AND u.deleted_at IS NULL AND u.is_active
  AND (u.banned_at IS NULL OR u.banned_until <= :now)
  AND t.status IN ('Active', 'Trial')
FOR NO KEY UPDATE OF u;

-- name: list_factors(tenant_id, user_id)
SELECT id, kind, label, secret, phone_number, last_step, created_at, verified_at
FROM mfa_factors
WHERE tenant_id = :tenant_id AND user_id = :user_id
ORDER BY created_at, id;

-- name: insert_factor(tenant_id, factor_id, user_id, kind, label, secret, phone_number, now)!
INSERT INTO mfa_factors (tenant_id, id, user_id, kind, label, secret, phone_number, created_at)
VALUES (:tenant_id, :factor_id, :user_id, :kind, :label, :secret, :phone_number, :now);

-- name: delete_pending(tenant_id, user_id)!
DELETE FROM mfa_factors
WHERE tenant_id = :tenant_id AND user_id = :user_id AND verified_at IS NULL;

-- name: verify_factor(now, tenant_id, factor_id)!
UPDATE mfa_factors SET verified_at = :now WHERE tenant_id = :tenant_id AND id = :factor_id;

-- name: take_step(step, tenant_id, factor_id)$
-- Take a time step, unless it or a later one was taken. Of several at once, one gets the row.
UPDATE mfa_factors
SET last_step = :step
WHERE tenant_id = :tenant_id AND id = :factor_id AND (last_step IS NULL OR last_step < :step)
RETURNING id;

-- name: delete_factor(tenant_id, factor_id)!
DELETE FROM mfa_factors WHERE tenant_id = :tenant_id AND id = :factor_id;

-- name: delete_factors(tenant_id, user_id)!
DELETE FROM mfa_factors WHERE tenant_id = :tenant_id AND user_id = :user_id;

-- name: delete_recovery_codes(tenant_id, user_id)!
DELETE FROM recovery_codes WHERE tenant_id = :tenant_id AND user_id = :user_id;

-- name: insert_recovery_codes(tenant_id, user_id, code_hashes, now)!
INSERT INTO recovery_codes (tenant_id, user_id, code_hash, created_at)
SELECT :tenant_id, :user_id, code_hash, :now FROM unnest(:code_hashes::bytea[]) AS code_hash;

-- name: use_recovery_code(now, tenant_id, user_id, code_hash)$
-- Use a code up. Of several at once, one gets the row.
UPDATE recovery_codes
SET used_at = :now
WHERE tenant_id = :tenant_id AND user_id = :user_id AND code_hash = :code_hash AND used_at IS NULL
RETURNING true;

-- name: count_recovery_codes(tenant_id, user_id)$
SELECT count(*) FROM recovery_codes
WHERE tenant_id = :tenant_id AND user_id = :user_id AND used_at IS NULL;

-- name: kill_sms_code(now, tenant_id, user_id, purpose)!
UPDATE verifications
SET consumed_at = :now
WHERE tenant_id = :tenant_id AND user_id = :user_id AND purpose = :purpose AND consumed_at IS NULL;

-- name: insert_sms_code(tenant_id, id, user_id, purpose, destination, token_hash, code_hash, now, expires_at)!
INSERT INTO verifications (tenant_id, id, user_id, purpose, destination, token_hash, code_hash, created_at,
                           expires_at)
VALUES (:tenant_id, :id, :user_id, :purpose, :destination, :token_hash, :code_hash, :now, :expires_at);

-- name: try_sms_code(now, code_hash, tenant_id, user_id, purpose, max_attempts)$
-- Count a try, and use the code up if it is the right one. Gives whether it was; nothing when there is none.
UPDATE verifications
SET attempts = attempts + 1,
    consumed_at = CASE WHEN code_hash = :code_hash THEN :now::timestamptz END
WHERE tenant_id = :tenant_id AND user_id = :user_id AND purpose = :purpose
  AND consumed_at IS NULL AND expires_at > :now AND attempts < :max_attempts
RETURNING code_hash = :code_hash;

-- name: list_sms_codes(tenant_id, user_id, purposes, since)
-- When a user was sent codes, the latest first.
SELECT created_at
FROM verifications
WHERE tenant_id = :tenant_id AND user_id = :user_id AND purpose = ANY (:purposes::text[])
  AND created_at > :since
ORDER BY created_at DESC;

-- name: fetch_failures(tenant_id, subject_hash)^
SELECT failures, last_failed_at, locked_until
FROM login_failures
WHERE tenant_id = :tenant_id AND subject_hash = :subject_hash;

-- name: save_failures(tenant_id, subject_hash, failures, now, locked_until)!
INSERT INTO login_failures (tenant_id, subject_hash, failures, last_failed_at, locked_until)
VALUES (:tenant_id, :subject_hash, :failures, :now, :locked_until)
ON CONFLICT (tenant_id, subject_hash) DO UPDATE
SET failures = excluded.failures, last_failed_at = excluded.last_failed_at,
    locked_until = excluded.locked_until;

-- name: clear_failures(tenant_id, subject_hash)!
DELETE FROM login_failures WHERE tenant_id = :tenant_id AND subject_hash = :subject_hash;
