-- Domains of tenants' own: claimed, proven by a challenge, and proven again every day.

-- domain: lower-case A-labels. challenge: what the domain has to show; its token, without decoration.
-- expires_at: until when the challenge serves; a check that finds it moves it on.
-- next_check_at: NULL once nobody looks any more. failed_checks: daily ones in a row, since failing_since.
CREATE TABLE custom_domains (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    domain text NOT NULL,
    method text NOT NULL CHECK (method IN ('DNS_TXT', 'HTTP_FILE')),
    challenge text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'verified', 'lapsed')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    verified_at timestamptz,
    checked_at timestamptz,
    next_check_at timestamptz,
    failed_checks integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    last_error text,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, domain)
);
-- Many may claim a domain; whoever proves it first has it.
CREATE UNIQUE INDEX custom_domains_verified ON custom_domains (domain) WHERE status = 'verified';
CREATE INDEX custom_domains_due ON custom_domains (next_check_at) WHERE next_check_at IS NOT NULL;
SELECT isolate_by_tenant('custom_domains');

-- "Whose this domain is must go to Redis." Holds no copy: the publisher reads it as it then is.
-- The wall has nothing to hide here: tenants only add rows.
CREATE TABLE domain_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT INSERT ON domain_outbox TO switchyard_api, switchyard_system;
