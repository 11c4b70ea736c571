-- name: claim_changes(batch_size)
-- What another publisher has claimed is skipped; it is there again if that publisher fails.
SELECT id, tenant_id, link_id
FROM link_outbox
ORDER BY id
LIMIT :batch_size
FOR UPDATE SKIP LOCKED;

-- name: delete_changes(ids)!
DELETE FROM link_outbox WHERE id = ANY(CAST(:ids AS bigint[]));

-- name: fetch_links(tenant_ids, link_ids)
-- One row per link, in no order; its variants lie side by side in arrays, in their order.
SELECT
    links.tenant_id,
    links.id,
    links.slug,
    links.version,
    links.is_active,
    links.deleted_at IS NOT NULL AS is_deleted,
    links.routing_type,
    links.geo_rules,
    links.stickiness,
    links.forward_query,
    current.ids,
    current.labels,
    current.urls,
    current.weights,
    current.winners
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:link_ids AS uuid[])) AS wanted (tenant_id, link_id)
JOIN links ON links.tenant_id = wanted.tenant_id AND links.id = wanted.link_id
CROSS JOIN LATERAL (
    SELECT
        array_agg(variants.id ORDER BY position, variants.id) AS ids,
        array_agg(label ORDER BY position, variants.id) AS labels,
        array_agg(destination_url ORDER BY position, variants.id) AS urls,
        array_agg(weight ORDER BY position, variants.id) AS weights,
        array_agg(is_winner ORDER BY position, variants.id) AS winners
    FROM variants
    WHERE variants.tenant_id = links.tenant_id
      AND variants.link_id = links.id
      AND variants.removed_at IS NULL
) AS current;

-- name: list_links_after(tenant_id, link_id, page_size)
SELECT tenant_id, id AS link_id
FROM links
WHERE (tenant_id, id) > (:tenant_id, :link_id)
ORDER BY tenant_id, id
LIMIT :page_size;

-- name: try_resync_lock(lock)$
-- Held until the transaction ends.
SELECT pg_try_advisory_xact_lock(:lock);
