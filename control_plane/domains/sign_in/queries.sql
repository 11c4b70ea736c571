-- name: find_locks(tenant_id, subjects, now)$
-- Tell whether any of these subjects is locked.
SELECT EXISTS (
    SELECT FROM login_failures
    WHERE tenant_id = :tenant_id AND subject_hash = ANY (:subjects::bytea[]) AND locked_until > :now
);

-- name: hold_failures(tenant_id, subject)!
-- Wait for whoever counts a failure of this subject at the moment, and let nobody count one until the end.
SELECT FROM login_failures WHERE tenant_id = :tenant_id AND subject_hash = :subject FOR UPDATE;

-- name: count_failure(tenant_id, subject, now, forgotten, most, step, longest)$
-- Count one failure and give the end of the lock that it makes, if it makes one. Failures that came before
-- `forgotten` are; nothing is counted while locked. Every `most` failures lock for as many times `step`.
INSERT INTO login_failures AS f (tenant_id, subject_hash, failures, last_failed_at)
VALUES (:tenant_id, :subject, 1, :now)
ON CONFLICT (tenant_id, subject_hash) DO UPDATE
SET failures = CASE WHEN f.last_failed_at < :forgotten THEN 1 ELSE f.failures + 1 END,
    last_failed_at = :now,
    locked_until = CASE
        WHEN f.last_failed_at >= :forgotten AND (f.failures + 1) % :most::integer = 0
        THEN :now::timestamptz
             + least(:step::interval * ((f.failures + 1) / :most::integer), :longest::interval)
    END
WHERE f.locked_until IS NULL OR f.locked_until <= :now
RETURNING locked_until;

-- name: forget_failures(tenant_id, subject)!
DELETE FROM login_failures WHERE tenant_id = :tenant_id AND subject_hash = :subject;

-- name: fetch_password(tenant_id, user_id)$
SELECT password_hash FROM users
WHERE tenant_id = :tenant_id AND id = :user_id AND deleted_at IS NULL;

-- name: mark_verified(now, tenant_id, user_id, email, phone_number)$
-- Only an address that is still the user's.
UPDATE users
SET email_verified_at = CASE WHEN email_key = lower(:email) THEN coalesce(email_verified_at, :now)
                             ELSE email_verified_at END,
    phone_verified_at = CASE WHEN phone_number = :phone_number THEN coalesce(phone_verified_at, :now)
                             ELSE phone_verified_at END,
    updated_at = :now
WHERE tenant_id = :tenant_id AND id = :user_id AND deleted_at IS NULL
  AND (email_key = lower(:email) OR phone_number = :phone_number)
RETURNING id;

-- name: count_users(tenant_id)$
SELECT count(*) FROM users WHERE tenant_id = :tenant_id AND deleted_at IS NULL;

-- name: is_tenant_open(tenant_id)$
SELECT EXISTS (SELECT FROM tenants WHERE id = :tenant_id AND status IN ('Active', 'Trial'));
