-- Every version of every link, so that a click can be explained by what its link was at that moment.

-- record: state ('active', 'inactive' or 'deleted'), routing_type, geo_rules, stickiness, forward_query,
-- winner (id of a variant, or null) and variants in their order, each with id, label, url, weight, is_winner.
-- Written with the link's publication, in the transaction that made the version; never changed.
CREATE TABLE link_versions (
    tenant_id uuid NOT NULL,
    link_id uuid NOT NULL,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    record jsonb NOT NULL,
    PRIMARY KEY (tenant_id, link_id, version),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links (tenant_id, id)
);
SELECT isolate_by_tenant('link_versions');
REVOKE UPDATE, DELETE ON link_versions FROM switchyard_api, switchyard_system;

-- Of links that exist, the present version is known; those before it are not.
INSERT INTO link_versions (tenant_id, link_id, version, changed_at, record)
SELECT links.tenant_id, links.id, links.version, links.updated_at, jsonb_build_object(
    'state', CASE WHEN links.deleted_at IS NOT NULL THEN 'deleted'
                  WHEN links.is_active THEN 'active' ELSE 'inactive' END,
    'routing_type', links.routing_type, 'geo_rules', links.geo_rules, 'stickiness', links.stickiness,
    'forward_query', links.forward_query, 'winner', present.winner, 'variants', present.variants)
FROM links
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'id', id, 'label', label, 'url', destination_url, 'weight', weight, 'is_winner', is_winner
           ) ORDER BY position, id), '[]') AS variants,
           (array_agg(id) FILTER (WHERE is_winner))[1] AS winner
    FROM variants
    WHERE variants.tenant_id = links.tenant_id AND variants.link_id = links.id AND variants.removed_at IS NULL
) AS present;
