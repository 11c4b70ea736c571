-- Sign-in with other providers: links to accounts that are there, verifiers that are sealed.

-- code_verifier: sealed (core/sealing.py). user_id: whose account is to be linked; NULL for a sign-in.
ALTER TABLE oauth_attempts
    ALTER COLUMN code_verifier TYPE bytea USING convert_to(code_verifier, 'UTF8'),
    ADD COLUMN user_id uuid,
    ADD FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id);
CREATE INDEX oauth_attempts_by_expiry ON oauth_attempts (tenant_id, expires_at);

-- A user has one identity per provider, so that the provider's name says which one.
ALTER TABLE federated_identities ADD COLUMN provider text NOT NULL;
CREATE UNIQUE INDEX federated_identities_by_user ON federated_identities (tenant_id, user_id, provider);
