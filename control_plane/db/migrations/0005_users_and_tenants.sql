-- What users and tenants are shown of what they use.

-- parallel_renders: how many redirects the plan promises to serve at once.
ALTER TABLE plans ADD COLUMN parallel_renders integer NOT NULL DEFAULT 1 CHECK (parallel_renders > 0);
UPDATE plans SET parallel_renders = chosen.parallel_renders
FROM (VALUES ('growth', 4), ('starter', 4), ('professional', 16), ('scale', 16), ('enterprise', 64))
    AS chosen (code, parallel_renders)
WHERE plans.code = chosen.code;

-- A tenant's redirects of a day, whatever their links. Counters change, hours do not: updates stay HOT.
CREATE INDEX click_hours_by_hour ON click_hours (tenant_id, hour);

-- How far each API process has written its counts: a batch that comes again is not counted again.
-- Not of any tenant. Rows of processes that are gone are removed by those that start.
CREATE TABLE usage_writers (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL,
    updated_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_writers TO switchyard_system;
