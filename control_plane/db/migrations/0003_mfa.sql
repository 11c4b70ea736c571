-- Second factors: at most one that awaits its first code, so that whoever sends one need not name it;
-- and the codes that a user was sent lately, which limit the next one.

CREATE UNIQUE INDEX mfa_factors_pending ON mfa_factors (tenant_id, user_id) WHERE verified_at IS NULL;
ALTER TABLE mfa_factors
    ADD CHECK (kind <> 'TOTP' OR secret IS NOT NULL),
    ADD CHECK (kind <> 'SMS' OR phone_number IS NOT NULL);

CREATE INDEX verifications_by_user ON verifications (tenant_id, user_id, purpose, created_at DESC);
