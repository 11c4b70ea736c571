-- Accounts, keys, links, and the click pipeline.
-- Keys lead with tenant_id, so that a distributed Postgres can shard by tenant.
-- Ids are UUIDv7 and made by the application: Postgres 15 has no generator for them.

CREATE TABLE plans (
    code text PRIMARY KEY,
    name text NOT NULL,
    api_access boolean NOT NULL,
    api_requests_per_hour integer NOT NULL CHECK (api_requests_per_hour >= 0)
);
INSERT INTO plans (code, name, api_access, api_requests_per_hour) VALUES
    ('free', 'Free', false, 0),
    ('growth', 'Growth', true, 1000),
    ('scale', 'Scale', true, 10000);

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    plan_code text NOT NULL REFERENCES plans (code),
    created_at timestamptz NOT NULL
);

CREATE TABLE users (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL UNIQUE,
    email text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX users_by_email ON users (tenant_id, lower(email));

-- A revoked key stays as a tombstone. Only the SHA-256 of a key is kept.
CREATE TABLE api_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    key_prefix text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX api_keys_by_user ON api_keys (tenant_id, user_id, created_at);

-- A deleted link keeps its slug for ever: a printed code must never lead somewhere new.
CREATE TABLE links (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    is_active boolean NOT NULL,
    auto_winner boolean NOT NULL,
    auto_winner_threshold integer NOT NULL,
    routing_type text NOT NULL CHECK (routing_type IN ('ab_test', 'geo')),
    geo_rules jsonb,
    stickiness text NOT NULL CHECK (stickiness IN ('none', 'cookie', 'fingerprint')),
    forward_query boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX links_by_user ON links (tenant_id, user_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;

-- A removed variant stays as a row, because clicks refer to it.
CREATE TABLE variants (
    tenant_id uuid NOT NULL,
    link_id uuid NOT NULL,
    id uuid NOT NULL,
    position smallint NOT NULL,
    label text NOT NULL,
    destination_url text NOT NULL,
    weight smallint NOT NULL CHECK (weight BETWEEN 0 AND 100),
    is_winner boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    PRIMARY KEY (tenant_id, link_id, id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links (tenant_id, id)
);
CREATE UNIQUE INDEX variants_by_label ON variants (tenant_id, link_id, label)
    WHERE removed_at IS NULL;

-- "This link's record must go to Redis." Holds no copy: the publisher reads the link as it then is.
CREATE TABLE link_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL,
    link_id uuid NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- fingerprint: SHA-256 of the request's body in a canonical form.
CREATE TABLE idempotency_keys (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    endpoint text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    resource_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, endpoint, key)
);

-- Clicks: partitioned by id, whose first 48 bits are the time of the click in Unix milliseconds.
-- reason: 1 winner, 2 geo, 3 geo_default, 4 weight, 5 sticky, 6 fingerprint (edge/contract/events.py).
CREATE TABLE clicks (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    link_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    link_version bigint NOT NULL,
    reason smallint NOT NULL,
    is_prefetch boolean NOT NULL,
    is_bot boolean NOT NULL,
    is_conversion boolean NOT NULL,
    verdict_version smallint NOT NULL,
    landed_at timestamptz NOT NULL,
    ip_address inet,
    country text,
    referrer text,
    referrer_domain text,
    user_agent text,
    browser text,
    os text,
    device text,
    bot_reason text,
    query text,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX clicks_by_link ON clicks (tenant_id, link_id, id);
CREATE TABLE clicks_default PARTITION OF clicks DEFAULT;

-- The smallest UUID of a moment: partition bounds and date filters are ranges of ids.
CREATE FUNCTION uuid_floor(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || '00000000000000000000')::uuid
$$;

-- Make the partition of `parent` for the month of `moment`, named <parent>_YYYYMM (UTC).
-- Rows of that month that landed in the default partition move into it. Answers whether it was made.
CREATE FUNCTION ensure_month_partition(parent text, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    month_start timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    child text := parent || to_char(month_start, '_YYYYMM');
    low uuid := uuid_floor(month_start AT TIME ZONE 'UTC');
    high uuid := uuid_floor((month_start + interval '1 month') AT TIME ZONE 'UTC');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_month_partition'), hashtext(parent));
    IF to_regclass(child) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- ATTACH takes this lock in the end; taking a weaker one first could deadlock with a reader.
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %I WHERE id >= %L AND id < %L RETURNING *)'
        ' INSERT INTO %I SELECT * FROM moved',
        parent || '_default', low, high, child);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, low, high);
    RETURN true;
END
$$;

-- Rollups: written in the transaction that writes the rows, so they always agree with them.
CREATE TABLE click_totals (
    tenant_id uuid NOT NULL,
    link_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    clicks bigint NOT NULL,
    bots bigint NOT NULL,
    prefetches bigint NOT NULL,
    conversions bigint NOT NULL,
    PRIMARY KEY (tenant_id, link_id, variant_id)
);
CREATE TABLE click_hours (
    tenant_id uuid NOT NULL,
    link_id uuid NOT NULL,
    variant_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    clicks bigint NOT NULL,
    bots bigint NOT NULL,
    prefetches bigint NOT NULL,
    conversions bigint NOT NULL,
    PRIMARY KEY (tenant_id, link_id, hour, variant_id)
);

-- Which chunks of which edge journal have landed: the ledger behind "exactly once".
-- landed: their sequences; contiguous ones melt into one range, so a journal stays one small row.
CREATE TABLE journal_ledger (
    journal_id uuid PRIMARY KEY,
    landed int8multirange NOT NULL DEFAULT '{}',
    events bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
