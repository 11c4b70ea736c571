-- name: claim_changes(batch_size)
-- What another publisher has claimed is skipped; it is there again if that publisher fails.
SELECT id, tenant_id, link_id
FROM link_outbox
ORDER BY id
LIMIT :batch_size
FOR UPDATE SKIP LOCKED;

-- name: delete_changes(ids)!
DELETE FROM link_outbox WHERE id = ANY(CAST(:ids AS bigint[]));

-- name: fetch_links(tenant_ids, link_ids)$
-- The links in no order, each with its variants in their order, as one JSON array with ids in base64:
-- read at once and as bytes, a page costs a third of what it costs row by row.
SELECT coalesce(json_agg(link), '[]')
FROM (
    SELECT
        encode(uuid_send(links.tenant_id), 'base64') AS tenant_id,
        encode(uuid_send(links.id), 'base64') AS id,
        links.domain,
        links.slug,
        links.version,
        links.is_active,
        links.deleted_at IS NOT NULL AS is_deleted,
        links.routing_type,
        links.geo_rules,
        links.stickiness,
        links.forward_query,
        encode(uuid_send(links.project_id), 'base64') AS project_id,
        coalesce(current.variants, '[]') AS variants,
        current.winner
    FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:link_ids AS uuid[])) AS wanted (tenant_id, link_id)
    JOIN links ON links.tenant_id = wanted.tenant_id AND links.id = wanted.link_id
    CROSS JOIN LATERAL (
        SELECT
            json_agg(
                json_build_array(encode(uuid_send(id), 'base64'), label, destination_url, weight)
            ) AS variants,
            array_position(array_agg(is_winner), true) - 1 AS winner
        FROM (
            SELECT id, label, destination_url, weight, is_winner
            FROM variants
            WHERE variants.tenant_id = links.tenant_id
              AND variants.link_id = links.id
              AND variants.removed_at IS NULL
            ORDER BY position, id
        ) AS in_order
    ) AS current
) AS link;

-- name: list_links_after(tenant_id, link_id, page_size)
SELECT tenant_id, id AS link_id
FROM links
WHERE (tenant_id, id) > (:tenant_id, :link_id)
ORDER BY tenant_id, id
LIMIT :page_size;

-- name: try_resync_lock(lock)$
-- Held until the transaction ends.
SELECT pg_try_advisory_xact_lock(:lock);

-- name: claim_domain_changes(batch_size)
SELECT id, domain
FROM domain_outbox
ORDER BY id
LIMIT :batch_size
FOR UPDATE SKIP LOCKED;

-- name: delete_domain_changes(ids)!
DELETE FROM domain_outbox WHERE id = ANY(CAST(:ids AS bigint[]));

-- name: hold_domains(lock)$
-- Until the transaction ends.
SELECT pg_advisory_xact_lock(:lock);

-- name: lock_domains(lock)$
-- Until it is unlocked.
SELECT pg_advisory_lock(:lock);

-- name: unlock_domains(lock)$
SELECT pg_advisory_unlock(:lock);

-- name: settle_domains(domains)
-- Write down whose domains these are now; those that nobody ever proved are passed over.
WITH settled AS (
    INSERT INTO edge_domains (domain, tenant_id, version)
    SELECT wanted.domain, owner.tenant_id, nextval('edge_domain_versions')
    FROM unnest(CAST(:domains AS text[])) AS wanted (domain)
    LEFT JOIN custom_domains AS owner ON owner.domain = wanted.domain AND owner.status = 'verified'
    WHERE owner.tenant_id IS NOT NULL
       OR EXISTS (SELECT FROM edge_domains AS known WHERE known.domain = wanted.domain)
       OR EXISTS (SELECT FROM custom_domains AS lapsed
                  WHERE lapsed.domain = wanted.domain AND lapsed.status = 'lapsed')
       OR EXISTS (SELECT FROM links WHERE links.domain = wanted.domain)
    ON CONFLICT (domain) DO UPDATE SET tenant_id = EXCLUDED.tenant_id, version = EXCLUDED.version
    RETURNING domain, tenant_id, version
)
SELECT s.domain, s.tenant_id, s.version, owner.challenge
FROM settled AS s
LEFT JOIN custom_domains AS owner ON owner.domain = s.domain AND owner.status = 'verified';

-- name: list_domains()
SELECT known.domain, known.tenant_id, known.version, owner.challenge
FROM edge_domains AS known
LEFT JOIN custom_domains AS owner ON owner.domain = known.domain AND owner.tenant_id = known.tenant_id;
