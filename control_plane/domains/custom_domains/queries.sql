-- name: lock_tenant(tenant_id)$
-- Claims of one tenant are made one after another, so that they can be counted.
SELECT id FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE;

-- name: count_claims(tenant_id)$
SELECT count(*) FROM custom_domains WHERE tenant_id = :tenant_id;

-- name: insert_claim(tenant_id, id, domain, method, challenge, status, created_at, expires_at, verified_at, checked_at, next_check_at, failed_checks, failing_since, last_error)!
INSERT INTO custom_domains (tenant_id, id, domain, method, challenge, status, created_at, expires_at, verified_at,
                            checked_at, next_check_at, failed_checks, failing_since, last_error)
VALUES (:tenant_id, :id, :domain, :method, :challenge, :status, :created_at, :expires_at, :verified_at,
        :checked_at, :next_check_at, :failed_checks, :failing_since, :last_error);

-- name: find_claim(tenant_id, domain)^
SELECT tenant_id, id, domain, method, challenge, status, created_at, expires_at, verified_at, checked_at,
       next_check_at, failed_checks, failing_since, last_error
FROM custom_domains
WHERE tenant_id = :tenant_id AND domain = :domain
FOR UPDATE;

-- name: lock_claim(tenant_id, id)^
SELECT tenant_id, id, domain, method, challenge, status, created_at, expires_at, verified_at, checked_at,
       next_check_at, failed_checks, failing_since, last_error
FROM custom_domains
WHERE tenant_id = :tenant_id AND id = :id
FOR UPDATE;

-- name: list_claims(tenant_id)
SELECT tenant_id, id, domain, method, challenge, status, created_at, expires_at, verified_at, checked_at,
       next_check_at, failed_checks, failing_since, last_error
FROM custom_domains
WHERE tenant_id = :tenant_id
ORDER BY domain;

-- name: update_claim(tenant_id, id, method, challenge, status, expires_at, verified_at, checked_at, next_check_at, failed_checks, failing_since, last_error)!
UPDATE custom_domains
SET method = :method, challenge = :challenge, status = :status, expires_at = :expires_at,
    verified_at = :verified_at, checked_at = :checked_at, next_check_at = :next_check_at,
    failed_checks = :failed_checks, failing_since = :failing_since, last_error = :last_error
WHERE tenant_id = :tenant_id AND id = :id;

-- name: delete_claim(tenant_id, id)!
DELETE FROM custom_domains WHERE tenant_id = :tenant_id AND id = :id;

-- name: take_due(now, again_at, limit)
-- Of all tenants. What another worker is taking is skipped; what a worker leaves undone is due again.
WITH due AS MATERIALIZED (
    SELECT tenant_id, id
    FROM custom_domains
    WHERE next_check_at <= :now
    ORDER BY next_check_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE custom_domains AS c
SET next_check_at = :again_at
FROM due
WHERE c.tenant_id = due.tenant_id AND c.id = due.id
RETURNING c.tenant_id, c.id, c.domain, c.method, c.challenge, c.status, c.created_at, c.expires_at,
          c.verified_at, c.checked_at, c.next_check_at, c.failed_checks, c.failing_since, c.last_error;

-- name: enqueue_publication(domain)!
INSERT INTO domain_outbox (domain) VALUES (:domain);

-- name: wake_publisher()$
SELECT pg_notify('link_outbox', '');

-- name: list_readers(tenant_id)
-- The tenant's contact, and its admins.
SELECT contact_email AS email, 'en' AS language
FROM tenants
WHERE id = :tenant_id AND contact_email IS NOT NULL
UNION ALL
SELECT email, language
FROM users
WHERE tenant_id = :tenant_id AND role = 'admin' AND is_active AND email IS NOT NULL AND deleted_at IS NULL
  AND banned_at IS NULL;
