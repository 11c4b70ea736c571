-- name: claim_changes(batch_size)
SELECT id, tenant_id, project_id, key_id
FROM intake_outbox
ORDER BY id
LIMIT :batch_size
FOR UPDATE SKIP LOCKED;

-- name: delete_changes(ids)!
DELETE FROM intake_outbox WHERE id = ANY(CAST(:ids AS bigint[]));

-- name: fetch_projects(ids)
SELECT id, tenant_id, version, domain, status, currency, accepts_tag_sales, secret_hash,
       previous_secret_hash, previous_secret_until
FROM projects
WHERE id = ANY(CAST(:ids AS uuid[]));

-- name: list_projects_after(id, page_size)
SELECT id FROM projects WHERE id > :id ORDER BY id LIMIT :page_size;

-- name: fetch_keys(tenant_ids, ids)
-- Those that may report sales, whatever state they are in. What makes their holder live: api_keys.find_key.
SELECT k.key_hash, k.tenant_id, k.version, k.expires_at, k.allowed_ips,
       k.revoked_at IS NULL AND t.status IN ('Active', 'Trial') AS is_active
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
JOIN api_keys k ON k.tenant_id = wanted.tenant_id AND k.id = wanted.id
JOIN tenants t ON t.id = k.tenant_id
WHERE k.kind = 'identity' AND 'sales:write' = ANY (k.scopes);

-- name: list_keys_after(id, page_size)
SELECT tenant_id, id
FROM api_keys
WHERE kind = 'identity' AND 'sales:write' = ANY (scopes) AND id > :id
ORDER BY id
LIMIT :page_size;
