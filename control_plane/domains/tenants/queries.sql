-- name: find_id_by_slug(slug)$
SELECT id FROM tenants WHERE slug = :slug AND status IN ('Active', 'Trial');
