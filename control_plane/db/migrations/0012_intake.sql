-- What edges know of projects and of API keys that may report sales, on its way to Redis.

-- Of what decides whether a key may report anything: grows with every change of it.
ALTER TABLE api_keys ADD COLUMN version bigint NOT NULL DEFAULT 1;

-- The keys that edges know; resyncs page through them.
CREATE INDEX api_keys_of_intake ON api_keys (id) WHERE kind = 'identity' AND 'sales:write' = ANY (scopes);

-- "This project's, or this key's, record must go to Redis." Holds no copy: the publisher reads it as it
-- then is. Either project_id or key_id.
CREATE TABLE intake_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL,
    project_id uuid,
    key_id uuid,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (num_nonnulls(project_id, key_id) = 1)
);
SELECT isolate_by_tenant('intake_outbox');

INSERT INTO intake_outbox (tenant_id, project_id) SELECT tenant_id, id FROM projects;
INSERT INTO intake_outbox (tenant_id, key_id)
SELECT tenant_id, id FROM api_keys WHERE kind = 'identity' AND 'sales:write' = ANY (scopes);
