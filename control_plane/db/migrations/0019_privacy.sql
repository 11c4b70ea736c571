-- Forgetting who a visitor was: when somebody asks for it, and when a tenant's time for that is over.
-- Rows stay, so that sums go on equalling them; what says who it was goes.

-- NULL: for as long as the installation keeps rows at all.
ALTER TABLE tenants ADD COLUMN event_retention_days integer
    CHECK (event_retention_days BETWEEN 1 AND 3650);

-- What is left of a word for a click or a visit: one of our ids, which the row that it names keeps anyway.
CREATE FUNCTION forgotten_word(word text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN word ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN word END
$$;

-- What is left of a URL: scheme and host, without a user in front of it; NULL where there is no host.
CREATE FUNCTION forgotten_url(url text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT regexp_replace(substring(url from '^[Hh][Tt][Tt][Pp][Ss]?://[^/?#\\]+'), '^([^:]+://).*@', '\1')
$$;

-- Whether words of a conversion are gone that were reported: then no repeated report differs from them.
ALTER TABLE conversions ADD COLUMN is_forgotten boolean NOT NULL DEFAULT false;

-- Up to which id (without it) everything of a tenant in a table was forgotten. Gone whenever the tenant's
-- event_retention_days change: then it begins anew.
CREATE TABLE retention_marks (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    event_table text NOT NULL CHECK (event_table IN ('clicks', 'visits', 'conversions')),
    forgotten_until uuid NOT NULL,
    PRIMARY KEY (tenant_id, event_table)
);
SELECT isolate_by_tenant('retention_marks');

-- What was asked to be erased, at most once each. subject: the click's or visit's name, or the visitor's
-- number; but for ids of ours, which rows keep, it is gone once the erasure is finished. digest: SHA-256 of
-- what was asked for, so that it is recognised when it is asked for again. day: the visitor's (UTC).
-- whole_visitor: with all else of the same visitor on the same day. requested_by: the API key.
-- clicks, visits, conversions: rows that somebody was forgotten in. due_at: when to look next, NULL: no more.
CREATE TABLE erasures (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('click', 'visit', 'visitor')),
    subject text,
    digest bytea NOT NULL,
    day date,
    whole_visitor boolean NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_by uuid,
    clicks bigint NOT NULL DEFAULT 0,
    visits bigint NOT NULL DEFAULT 0,
    conversions bigint NOT NULL DEFAULT 0,
    due_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((kind = 'visitor') = (day IS NOT NULL))
);
CREATE UNIQUE INDEX erasures_once ON erasures (tenant_id, digest);
CREATE INDEX erasures_due ON erasures (due_at) WHERE due_at IS NOT NULL;
SELECT isolate_by_tenant('erasures');
REVOKE UPDATE, DELETE ON erasures FROM switchyard_api, switchyard_system;

-- What an erasure is about, as flushers compare it with what lands late. key: an id (16 bytes), a digest of
-- somebody else's word for a click or visit (12), or a visitor's number (8). is_asked: it was asked for, rather
-- than found. day: of a visitor. number: whoever adds rows holds a lock until the end, so that a flusher
-- which has read up to a number has missed none below it.
CREATE TABLE erased_subjects (
    tenant_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    key bytea NOT NULL,
    is_asked boolean NOT NULL,
    day date,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, erasure_id, key),
    FOREIGN KEY (tenant_id, erasure_id) REFERENCES erasures (tenant_id, id)
);
SELECT isolate_by_tenant('erased_subjects');
REVOKE UPDATE, DELETE ON erased_subjects FROM switchyard_api, switchyard_system;
