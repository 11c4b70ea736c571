-- name: lock_user(tenant_id, user_id)$
-- Whoever subscribes for the same user at the same time waits, so that each sees all of them.
SELECT id FROM users WHERE tenant_id = :tenant_id AND id = :user_id FOR NO KEY UPDATE;

-- name: save_subscription(tenant_id, id, user_id, endpoint, p256dh, auth, user_agent, now)!
INSERT INTO push_subscriptions (tenant_id, id, user_id, endpoint, p256dh, auth, user_agent, created_at)
VALUES (:tenant_id, :id, :user_id, :endpoint, :p256dh, :auth, :user_agent, :now)
ON CONFLICT (tenant_id, endpoint) DO UPDATE
SET id = excluded.id, user_id = excluded.user_id, p256dh = excluded.p256dh, auth = excluded.auth,
    user_agent = excluded.user_agent, created_at = excluded.created_at;

-- name: keep_newest(tenant_id, user_id, kept)!
DELETE FROM push_subscriptions
WHERE tenant_id = :tenant_id AND id IN (
    SELECT id FROM push_subscriptions
    WHERE tenant_id = :tenant_id AND user_id = :user_id
    ORDER BY created_at DESC, id DESC
    OFFSET :kept
);

-- name: delete_subscriptions(tenant_id, user_id, endpoint)!
-- endpoint NULL: all of the user's.
DELETE FROM push_subscriptions
WHERE tenant_id = :tenant_id AND user_id = :user_id
  AND (:endpoint::text IS NULL OR endpoint = :endpoint);

-- name: delete_subscription(tenant_id, id)!
DELETE FROM push_subscriptions WHERE tenant_id = :tenant_id AND id = :id;

-- name: list_subscriptions(tenant_id, user_id)
SELECT id, endpoint, p256dh, auth
FROM push_subscriptions
WHERE tenant_id = :tenant_id AND user_id = :user_id
ORDER BY created_at, id;

-- name: fetch_sender_key()^
SELECT private_key, public_key FROM vapid_key;

-- name: insert_sender_key(private_key, public_key, now)!
INSERT INTO vapid_key (private_key, public_key, created_at)
VALUES (:private_key, :public_key, :now)
ON CONFLICT DO NOTHING;
