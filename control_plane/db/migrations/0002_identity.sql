-- Users, sessions, factors, keys and their audit; and the wall between tenants.
--
-- The API connects as switchyard_api, which owns nothing: row-level security shows it the rows of one
-- tenant, the one that `app.tenant_id` names for the transaction; of nobody while that is not set.
-- switchyard_system sees all tenants: signing in (whose tenant is not known yet) and superadmins take it
-- on for one transaction. The owner, as whom pipeline, jobs and migrations run, sees everything.

DO $$
DECLARE
    name text;
BEGIN
    -- Roles belong to the whole server: another database on it may have made them, even right now.
    FOREACH name IN ARRAY ARRAY['switchyard_api', 'switchyard_system'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        EXECUTE format('GRANT %I TO CURRENT_USER', name);
    END LOOP;
    BEGIN
        -- To be taken on, not inherited: a policy for a role holds for whoever inherits from it.
        GRANT switchyard_system TO switchyard_api;
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
END
$$;

-- The tenant of this transaction; NULL, which equals nothing, outside of one.
CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('app.tenant_id', true), '')::uuid
$$;

-- Put a table behind the wall: switchyard_api sees the current tenant's rows. `key`: its tenant's column.
-- Later migrations call it for every table that they make.
CREATE FUNCTION isolate_by_tenant(target regclass, key text DEFAULT 'tenant_id') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY of_tenant ON %s TO switchyard_api'
                   ' USING (%I = (SELECT current_tenant())) WITH CHECK (%2$I = (SELECT current_tenant()))',
                   target, key);
    EXECUTE format('CREATE POLICY of_all ON %s TO switchyard_system, CURRENT_USER'
                   ' USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO switchyard_api, switchyard_system', target);
END
$$;

INSERT INTO plans (code, name, api_access, api_requests_per_hour) VALUES
    ('starter', 'Starter', true, 1000),
    ('professional', 'Professional', true, 10000),
    ('enterprise', 'Enterprise', true, 100000);
GRANT SELECT ON plans TO switchyard_api, switchyard_system;

-- number: what the growth contract calls the id. Limits that are NULL do not exist.
ALTER TABLE tenants
    ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN slug text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '') UNIQUE,
    ADD COLUMN kind text NOT NULL DEFAULT 'Enterprise' CHECK (kind IN ('Internal', 'Reseller', 'Enterprise')),
    ADD COLUMN status text NOT NULL DEFAULT 'Active'
        CHECK (status IN ('Active', 'Trial', 'Suspended', 'Cancelled')),
    ADD COLUMN contact_name text,
    ADD COLUMN contact_email text,
    ADD COLUMN contact_phone text,
    ADD COLUMN billing_email text,
    ADD COLUMN allowed_origins text[] NOT NULL DEFAULT '{}',
    ADD COLUMN max_users integer,
    ADD COLUMN max_campaigns integer,
    ADD COLUMN max_storage_gb integer,
    ADD COLUMN monthly_render_qty integer,
    ADD COLUMN trial_ends_at timestamptz,
    ADD COLUMN branding jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT clock_timestamp();

-- email_key: what an address is compared by. lower() in an index would be of no use to switchyard_api:
-- Postgres looks at nothing that could leak before a row has passed the wall.
ALTER TABLE users
    ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ALTER COLUMN email DROP NOT NULL,
    ADD COLUMN email_key text GENERATED ALWAYS AS (lower(email)) STORED,
    ADD COLUMN email_verified_at timestamptz,
    ADD COLUMN phone_number text,
    ADD COLUMN phone_verified_at timestamptz,
    ADD COLUMN password_hash text,
    ADD COLUMN password_changed_at timestamptz,
    ADD COLUMN role text NOT NULL DEFAULT 'admin' CHECK (role IN ('admin', 'manager', 'analyst', 'viewer')),
    ADD COLUMN is_superadmin boolean NOT NULL DEFAULT false,
    ADD COLUMN is_active boolean NOT NULL DEFAULT true,
    ADD COLUMN register_mode text NOT NULL DEFAULT 'password',
    ADD COLUMN language text NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'pt-BR', 'es')),
    ADD COLUMN full_name text,
    ADD COLUMN avatar_id uuid,
    ADD COLUMN avatar_url text,
    ADD COLUMN slogan text,
    ADD COLUMN about_me text,
    ADD COLUMN company_name text,
    ADD COLUMN website_name text,
    ADD COLUMN birth_date date,
    ADD COLUMN gender text CHECK (gender IN ('Male', 'Female', 'Other', 'PreferNotToSay')),
    ADD COLUMN email_tell_me boolean NOT NULL DEFAULT false,
    ADD COLUMN sms_tell_me boolean NOT NULL DEFAULT false,
    ADD COLUMN push_tell_me boolean NOT NULL DEFAULT false,
    ADD COLUMN telegram_tell_me boolean NOT NULL DEFAULT false,
    ADD COLUMN affiliate_code text,
    ADD COLUMN terms_accepted_at timestamptz,
    ADD COLUMN balance_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN affiliate_balance_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN currency text NOT NULL DEFAULT 'USD',
    ADD COLUMN loyalty_score integer NOT NULL DEFAULT 0,
    ADD COLUMN used_storage_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_active_at timestamptz,
    ADD COLUMN banned_at timestamptz,
    ADD COLUMN banned_until timestamptz,
    ADD COLUMN ban_reason text,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN deleted_at timestamptz;
-- The one who was there before there were roles had made the tenant. Whoever comes later is given one.
ALTER TABLE users ALTER COLUMN role SET DEFAULT 'viewer';
DROP INDEX users_by_email;
CREATE UNIQUE INDEX users_by_email ON users (tenant_id, email_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_by_phone ON users (tenant_id, phone_number) WHERE deleted_at IS NULL;
CREATE INDEX tenants_by_origin ON tenants USING gin (allowed_origins);
CREATE INDEX users_by_creation ON users (tenant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;

-- A session is what one sign-in began: the family of its refresh tokens, each of which serves once.
-- authenticated_at: when its user last proved with a secret who they are.
CREATE TABLE sessions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    device_id text,
    device_name text,
    user_agent text,
    ip_address inet,
    issued_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    authenticated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoke_reason text,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id, issued_at DESC) WHERE revoked_at IS NULL;

-- token_hash: SHA-256. The first of a session has no parent.
CREATE TABLE refresh_tokens (
    tenant_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    parent_hash bytea,
    issued_at timestamptz NOT NULL,
    consumed_at timestamptz,
    PRIMARY KEY (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (tenant_id, session_id);

-- Something that was sent to a user and is to come back: a code, a reset token, or both.
-- token_hash, code_hash: SHA-256; a code's with the token, which nobody but its receiver has.
CREATE TABLE verifications (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    purpose text NOT NULL,
    destination text NOT NULL,
    token_hash bytea NOT NULL,
    code_hash bytea,
    attempts smallint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
-- A new code kills the old one.
CREATE UNIQUE INDEX verifications_alive ON verifications (tenant_id, user_id, purpose)
    WHERE consumed_at IS NULL;

-- secret: sealed (core/sealing.py). last_step: the time step of the last code that was accepted.
CREATE TABLE mfa_factors (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('TOTP', 'SMS')),
    label text,
    secret bytea,
    phone_number text,
    last_step bigint,
    created_at timestamptz NOT NULL,
    verified_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX mfa_factors_by_user ON mfa_factors (tenant_id, user_id);

CREATE TABLE recovery_codes (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, user_id, code_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

-- A sign-in whose first step was right and whose second is awaited. token_hash: of its mfa_token.
CREATE TABLE mfa_challenges (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    device_id text,
    device_name text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

-- Who a user is elsewhere: an issuer's name for them, never their e-mail address.
CREATE TABLE federated_identities (
    tenant_id uuid NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL,
    email text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, issuer, subject),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

-- A sign-in that went to a provider and is to come back with `state`.
CREATE TABLE oauth_attempts (
    tenant_id uuid NOT NULL,
    state_hash bytea NOT NULL,
    provider text NOT NULL,
    nonce text NOT NULL,
    code_verifier text NOT NULL,
    redirect_uri text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    PRIMARY KEY (tenant_id, state_hash),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

-- Failed sign-ins: of an account (its identifier, even if nobody has it) and of an address.
CREATE TABLE login_failures (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    subject_hash bytea NOT NULL,
    failures integer NOT NULL,
    last_failed_at timestamptz NOT NULL,
    locked_until timestamptz,
    PRIMARY KEY (tenant_id, subject_hash)
);

CREATE TABLE push_subscriptions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    endpoint text NOT NULL,
    p256dh bytea NOT NULL,
    auth bytea NOT NULL,
    user_agent text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, user_id, endpoint),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

-- user_id: who made the key. Counters are written in batches, so they lag by a moment.
ALTER TABLE api_keys
    ADD COLUMN environment text NOT NULL DEFAULT 'Live' CHECK (environment IN ('Live', 'Test')),
    ADD COLUMN last4 text NOT NULL DEFAULT '',
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN allowed_ips cidr[] NOT NULL DEFAULT '{}',
    ADD COLUMN rate_limit_rpm integer CHECK (rate_limit_rpm > 0),
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN usage_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN revoke_reason text;
UPDATE api_keys SET scopes = '{links:read,links:write,clicks:read}' WHERE kind = 'links';
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, kind, created_at DESC, id DESC)
    WHERE revoked_at IS NULL;

-- Who changed what. Rows are only ever added. before, after: what changed, secrets left out.
-- actor_kind: user, api_key, service, system. actor_id: the user, the key; NULL for the system.
CREATE TABLE audit_log (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    credential_id uuid,
    request_id text,
    ip_address inet,
    action text NOT NULL,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    before jsonb,
    after jsonb,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX audit_log_by_entity ON audit_log (tenant_id, entity_type, entity_id, id);

-- Keys that seal secrets, each sealed by the master key itself (core/sealing.py). Not of any tenant.
CREATE TABLE data_keys (
    version integer PRIMARY KEY CHECK (version BETWEEN 1 AND 65535),
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT ON data_keys TO switchyard_api, switchyard_system;

-- What a tenant used on a day (UTC), beyond what clicks tell.
CREATE TABLE usage_days (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    day date NOT NULL,
    api_calls bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day)
);
CREATE TABLE active_user_days (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, day, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

SELECT isolate_by_tenant('tenants', 'id');
SELECT isolate_by_tenant(name::regclass) FROM unnest(ARRAY[
    'users', 'api_keys', 'links', 'variants', 'link_outbox', 'idempotency_keys', 'clicks', 'click_totals',
    'click_hours', 'sessions', 'refresh_tokens', 'verifications', 'mfa_factors', 'recovery_codes',
    'mfa_challenges', 'federated_identities', 'oauth_attempts', 'login_failures', 'push_subscriptions',
    'audit_log', 'usage_days', 'active_user_days'
]) AS name;
REVOKE UPDATE, DELETE ON audit_log FROM switchyard_api, switchyard_system;
REVOKE INSERT, UPDATE, DELETE ON clicks, click_totals, click_hours FROM switchyard_api, switchyard_system;
REVOKE DELETE ON tenants, users FROM switchyard_api, switchyard_system;
