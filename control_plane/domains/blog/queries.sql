-- name: lock_tenant(tenant_id)^
-- Held until the transaction ends, so that drafts of one tenant are counted and named one after another.
SELECT name, blog_approved_at
FROM tenants
WHERE id = :tenant_id
FOR NO KEY UPDATE;

-- name: count_since(tenant_id, since)$
SELECT count(*) FROM blog_articles WHERE tenant_id = :tenant_id AND created_at >= :since;

-- name: list_slugs_like(tenant_id, slug)
SELECT slug
FROM blog_articles
WHERE tenant_id = :tenant_id AND (slug = :slug OR slug LIKE :slug || '-%');

-- name: insert_article(tenant_id, id, slug, title, excerpt, content, category_slug, author, now)^
INSERT INTO blog_articles (tenant_id, id, slug, title, excerpt, content, category_slug, author, created_at)
VALUES (:tenant_id, :id, :slug, :title, :excerpt, :content, :category_slug, :author, :now)
RETURNING id, slug, title, category_slug, author, status, created_at;

-- name: count_articles(tenant_id)$
SELECT count(*) FROM blog_articles WHERE tenant_id = :tenant_id;

-- name: find_older_articles(tenant_id, low, high, limit, offset)
SELECT id
FROM blog_articles
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id DESC
LIMIT :limit OFFSET :offset;

-- name: find_newer_articles(tenant_id, low, high, limit)
SELECT id
FROM blog_articles
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id
LIMIT :limit;

-- name: fetch_articles(tenant_id, ids)
SELECT id, slug, title, category_slug, author, status, created_at
FROM blog_articles
WHERE tenant_id = :tenant_id AND id = ANY(:ids);

-- name: set_approval(approved_at, tenant_id)$
-- An approval that stands keeps its moment.
UPDATE tenants
SET blog_approved_at = CASE WHEN CAST(:approved_at AS timestamptz) IS NULL THEN NULL
                            ELSE coalesce(blog_approved_at, :approved_at) END
WHERE id = :tenant_id
RETURNING id;
