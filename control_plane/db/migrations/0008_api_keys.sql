-- Keys of the other contracts beside those of the links API.

-- user_id: whose key it is. A superadmin who makes one for another tenant is no user of that tenant;
-- a key of the links API always acts for a user.
ALTER TABLE api_keys
    ALTER COLUMN user_id DROP NOT NULL,
    ADD CHECK (kind IN ('links', 'identity', 'applications', 'service')),
    ADD CHECK (kind <> 'links' OR user_id IS NOT NULL);

-- Services are few among many keys, and looked for whatever tenant they are stored on.
CREATE INDEX api_keys_of_services ON api_keys (id) WHERE kind = 'service';
