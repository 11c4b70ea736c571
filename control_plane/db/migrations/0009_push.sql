-- Web push. The browsers of a push service know one sender by its key, so there is one for good: were it
-- another, every subscription would be lost. Not of any tenant.
-- private_key: 32 bytes, sealed (core/sealing.py). public_key: the point, uncompressed.
CREATE TABLE vapid_key (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    private_key bytea NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 65),
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT ON vapid_key TO switchyard_api, switchyard_system;

-- A browser has one endpoint, whoever is signed in: it belongs to the user who subscribed last.
CREATE UNIQUE INDEX push_subscriptions_by_endpoint ON push_subscriptions (tenant_id, endpoint);
