-- name: count_projects(tenant_id)$
SELECT count(*) FROM projects WHERE tenant_id = :tenant_id;

-- name: find_older_projects(tenant_id, low, high, limit, offset)
SELECT id
FROM projects
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id DESC
LIMIT :limit OFFSET :offset;

-- name: find_newer_projects(tenant_id, low, high, limit)
SELECT id
FROM projects
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id
LIMIT :limit;

-- name: fetch_projects(tenant_id, ids)
SELECT id, name, domain, status, currency, created_at
FROM projects
WHERE tenant_id = :tenant_id AND id = ANY(:ids);
