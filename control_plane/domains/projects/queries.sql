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
SELECT tenant_id, id, name, domain, status, currency, accepts_tag_sales, previous_secret_until, version,
       created_at, updated_at
FROM projects
WHERE tenant_id = :tenant_id AND id = ANY(:ids);

-- name: insert_project(tenant_id, id, name, domain, status, currency, accepts_tag_sales, secret_hash, now)^
INSERT INTO projects (tenant_id, id, name, domain, status, currency, accepts_tag_sales, secret_hash,
                      created_at, updated_at)
VALUES (:tenant_id, :id, :name, :domain, :status, :currency, :accepts_tag_sales, :secret_hash, :now, :now)
RETURNING tenant_id, id, name, domain, status, currency, accepts_tag_sales, previous_secret_until, version,
          created_at, updated_at;

-- name: lock_project(tenant_id, project_id)^
-- Others change it once the transaction has ended.
SELECT tenant_id, id, name, domain, status, currency, accepts_tag_sales, previous_secret_until, version,
       created_at, updated_at
FROM projects
WHERE tenant_id = :tenant_id AND id = :project_id
FOR NO KEY UPDATE;

-- name: update_project(tenant_id, project_id, name, domain, status, currency, accepts_tag_sales, now)^
UPDATE projects
SET name = :name, domain = :domain, status = :status, currency = :currency,
    accepts_tag_sales = :accepts_tag_sales, updated_at = :now, version = version + 1
WHERE tenant_id = :tenant_id AND id = :project_id
RETURNING tenant_id, id, name, domain, status, currency, accepts_tag_sales, previous_secret_until, version,
          created_at, updated_at;

-- name: replace_secret(tenant_id, project_id, secret_hash, until, now)^
-- until: NULL where the one before is worth nothing any more.
UPDATE projects
SET previous_secret_hash = CASE WHEN CAST(:until AS timestamptz) IS NULL THEN NULL ELSE secret_hash END,
    previous_secret_until = CASE WHEN secret_hash IS NULL THEN NULL ELSE CAST(:until AS timestamptz) END,
    secret_hash = :secret_hash, updated_at = :now, version = version + 1
WHERE tenant_id = :tenant_id AND id = :project_id
RETURNING tenant_id, id, name, domain, status, currency, accepts_tag_sales, previous_secret_until, version,
          created_at, updated_at;

-- name: enqueue_publication(tenant_id, project_id)$
WITH queued AS (INSERT INTO intake_outbox (tenant_id, project_id) VALUES (:tenant_id, :project_id))
SELECT pg_notify('link_outbox', '');
