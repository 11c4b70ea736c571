-- name: list_keys()
SELECT version, wrapped_key FROM data_keys ORDER BY version;

-- name: insert_key(version, wrapped_key, now)!
INSERT INTO data_keys (version, wrapped_key, created_at)
VALUES (:version, :wrapped_key, :now)
ON CONFLICT DO NOTHING;

-- name: replace_key(wrapped_key, version)!
UPDATE data_keys SET wrapped_key = :wrapped_key WHERE version = :version;
