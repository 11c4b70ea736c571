-- name: insert_session(tenant_id, session_id, user_id, device_id, device_name, user_agent, ip_address, now, expires_at)!
INSERT INTO sessions (tenant_id, id, user_id, device_id, device_name, user_agent, ip_address,
                      issued_at, last_used_at, authenticated_at, expires_at)
VALUES (:tenant_id, :session_id, :user_id, :device_id, :device_name, :user_agent, :ip_address::text::inet,
        :now, :now, :now, :expires_at);

-- name: insert_token(tenant_id, token_hash, session_id, parent_hash, now)!
INSERT INTO refresh_tokens (tenant_id, token_hash, session_id, parent_hash, issued_at)
VALUES (:tenant_id, :token_hash, :session_id, :parent_hash, :now);

-- name: consume_token(now, tenant_id, token_hash)^
-- Use a token up. Of several at once, one gets the row; the others wait for it, and then get none.
UPDATE refresh_tokens r
SET consumed_at = :now
FROM sessions s
JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
JOIN tenants t ON t.id = s.tenant_id
WHERE r.tenant_id = :tenant_id AND r.token_hash = :token_hash AND r.consumed_at IS NULL
  AND s.tenant_id = r.tenant_id AND s.id = r.session_id
  AND s.revoked_at IS NULL AND s.expires_at > :now
  AND u.deleted_at IS NULL AND u.is_active
  AND (u.banned_at IS NULL OR u.banned_until <= :now)
  AND t.status IN ('Active', 'Trial')
RETURNING s.id AS session_id, s.user_id;

-- name: fetch_consumed(tenant_id, token_hash)^
SELECT session_id, consumed_at
FROM refresh_tokens
WHERE tenant_id = :tenant_id AND token_hash = :token_hash AND consumed_at IS NOT NULL;

-- name: touch_session(now, tenant_id, session_id)!
UPDATE sessions SET last_used_at = :now WHERE tenant_id = :tenant_id AND id = :session_id;

-- name: mark_authenticated(now, tenant_id, session_id)!
UPDATE sessions SET authenticated_at = :now WHERE tenant_id = :tenant_id AND id = :session_id;

-- name: authenticate(now, tenant_id, session_id, user_id)^
-- Find whose session it is, and note its use, at most once a minute, in one round trip.
WITH used AS (
    UPDATE sessions
    SET last_used_at = :now
    WHERE tenant_id = :tenant_id AND id = :session_id AND revoked_at IS NULL
      AND last_used_at < :now::timestamptz - interval '1 minute'
)
SELECT u.role, u.is_superadmin, s.authenticated_at
FROM sessions s
JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
JOIN tenants t ON t.id = s.tenant_id
WHERE s.tenant_id = :tenant_id AND s.id = :session_id AND s.user_id = :user_id
  AND s.revoked_at IS NULL AND s.expires_at > :now
  AND u.deleted_at IS NULL AND u.is_active
  AND (u.banned_at IS NULL OR u.banned_until <= :now)
  AND t.status IN ('Active', 'Trial');

-- name: list_sessions(tenant_id, user_id, now)
SELECT id, device_name, user_agent, host(ip_address) AS ip_address, issued_at, last_used_at
FROM sessions
WHERE tenant_id = :tenant_id AND user_id = :user_id AND revoked_at IS NULL AND expires_at > :now
ORDER BY last_used_at DESC, id DESC;

-- name: revoke_session(now, reason, tenant_id, user_id, session_id)$
UPDATE sessions
SET revoked_at = :now, revoke_reason = :reason
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = :session_id AND revoked_at IS NULL
RETURNING id;

-- name: revoke_family(now, reason, tenant_id, session_id)!
UPDATE sessions
SET revoked_at = :now, revoke_reason = :reason
WHERE tenant_id = :tenant_id AND id = :session_id AND revoked_at IS NULL;

-- name: revoke_sessions(now, reason, tenant_id, user_id, except_id)!
UPDATE sessions
SET revoked_at = :now, revoke_reason = :reason
WHERE tenant_id = :tenant_id AND user_id = :user_id AND revoked_at IS NULL
  AND id IS DISTINCT FROM :except_id;
