-- name: find_first_domain(tenant_id)$
SELECT domain
FROM custom_domains
WHERE tenant_id = :tenant_id AND status = 'verified'
ORDER BY verified_at, id
LIMIT 1;

-- name: has_domain(tenant_id, domain)$
SELECT EXISTS (
    SELECT FROM custom_domains WHERE tenant_id = :tenant_id AND domain = :domain AND status = 'verified'
);

-- name: has_project(tenant_id, project_id)$
SELECT EXISTS (SELECT FROM projects WHERE tenant_id = :tenant_id AND id = :project_id);

-- name: insert_link(tenant_id, link_id, user_id, domain, slug, name, is_active, auto_winner, auto_winner_threshold, auto_winner_goal, auto_winner_lag_hours, routing_type, geo_rules, stickiness, forward_query, project_id, now)$
INSERT INTO links (
    tenant_id, id, user_id, domain, slug, name, is_active, auto_winner, auto_winner_threshold,
    auto_winner_goal, auto_winner_lag_hours, routing_type, geo_rules, stickiness, forward_query, project_id,
    version, created_at, updated_at
) VALUES (
    :tenant_id, :link_id, :user_id, :domain, :slug, :name, :is_active, :auto_winner, :auto_winner_threshold,
    :auto_winner_goal, :auto_winner_lag_hours, :routing_type, :geo_rules, :stickiness, :forward_query,
    :project_id, 1, :now, :now
)
ON CONFLICT (domain, slug) DO NOTHING
RETURNING id;

-- name: update_link(name, is_active, auto_winner, auto_winner_threshold, auto_winner_goal, auto_winner_lag_hours, routing_type, geo_rules, stickiness, forward_query, project_id, now, restarts, tenant_id, link_id)!
-- updated_at moves even when the clock stands still or jumps back.
-- restarts: whether what variants are compared by changes, so that the experiment begins anew.
UPDATE links
SET name = :name, is_active = :is_active, auto_winner = :auto_winner,
    auto_winner_threshold = :auto_winner_threshold, auto_winner_goal = :auto_winner_goal,
    auto_winner_lag_hours = :auto_winner_lag_hours, routing_type = :routing_type,
    geo_rules = :geo_rules, stickiness = :stickiness, forward_query = :forward_query,
    project_id = :project_id,
    version = version + 1, updated_at = greatest(:now, updated_at + interval '1 microsecond'),
    experiment_version = CASE WHEN :restarts THEN version + 1 ELSE experiment_version END,
    experiment_started_at = CASE WHEN :restarts THEN :now ELSE experiment_started_at END
WHERE tenant_id = :tenant_id AND id = :link_id;

-- name: end_winner(tenant_id, link_id, user_id, now)!
-- Take the mark of the winner off, and write down that the decision no longer holds.
WITH cleared AS (
    UPDATE variants SET is_winner = false WHERE tenant_id = :tenant_id AND link_id = :link_id AND is_winner
)
UPDATE winner_decisions
SET reverted_at = :now, reverted_by = :user_id
WHERE tenant_id = :tenant_id AND link_id = :link_id AND outcome = 'winner' AND reverted_at IS NULL;

-- name: delete_link(now, tenant_id, user_id, link_id)$
UPDATE links
SET is_active = false, deleted_at = :now,
    version = version + 1, updated_at = greatest(:now, updated_at + interval '1 microsecond')
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = :link_id AND deleted_at IS NULL
RETURNING id;

-- name: lock_link(tenant_id, user_id, link_id)$
-- Hold the link until the transaction ends, so that two changes follow one another.
SELECT id
FROM links
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = :link_id AND deleted_at IS NULL
FOR UPDATE;

-- name: fetch_link(tenant_id, user_id, link_id)^
SELECT tenant_id, id, user_id, domain, slug, name, is_active, auto_winner, auto_winner_threshold,
       auto_winner_goal, auto_winner_lag_hours, routing_type, geo_rules, stickiness, forward_query,
       project_id, version, created_at, updated_at, deleted_at
FROM links
WHERE tenant_id = :tenant_id AND user_id = :user_id AND id = :link_id;

-- name: list_variants(tenant_id, link_id)
SELECT id, label, destination_url, weight, is_winner, created_at
FROM variants
WHERE tenant_id = :tenant_id AND link_id = :link_id AND removed_at IS NULL
ORDER BY position;

-- name: insert_variants(tenant_id, link_id, now, ids, positions, labels, destination_urls, weights)!
INSERT INTO variants (tenant_id, link_id, id, position, label, destination_url, weight, created_at)
SELECT :tenant_id, :link_id, v.id, v.position, v.label, v.destination_url, v.weight, :now
FROM unnest(:ids::uuid[], :positions::smallint[], :labels::text[], :destination_urls::text[],
            :weights::smallint[]) AS v (id, position, label, destination_url, weight);

-- name: update_variants(ids, positions, destination_urls, weights, tenant_id, link_id)!
UPDATE variants
SET position = v.position, destination_url = v.destination_url, weight = v.weight
FROM unnest(:ids::uuid[], :positions::smallint[], :destination_urls::text[],
            :weights::smallint[]) AS v (id, position, destination_url, weight)
WHERE variants.tenant_id = :tenant_id AND variants.link_id = :link_id AND variants.id = v.id;

-- name: remove_variants(now, tenant_id, link_id, kept_ids)!
UPDATE variants
SET removed_at = :now
WHERE tenant_id = :tenant_id AND link_id = :link_id AND removed_at IS NULL
  AND id <> ALL (:kept_ids::uuid[]);

-- name: enqueue_publication(tenant_id, link_id)$
-- Keeps the version that is to be published, as it is explained later (0013_link_versions.sql says how).
-- The notification wakes the publisher when the transaction commits.
WITH queued AS (
    INSERT INTO link_outbox (tenant_id, link_id) VALUES (:tenant_id, :link_id)
), kept AS (
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
        WHERE variants.tenant_id = :tenant_id AND variants.link_id = :link_id
          AND variants.removed_at IS NULL
    ) AS present
    WHERE links.tenant_id = :tenant_id AND links.id = :link_id
    ON CONFLICT DO NOTHING
)
SELECT pg_notify('link_outbox', '');

-- name: count_links(tenant_id, user_id)$
SELECT count(*) FROM links
WHERE tenant_id = :tenant_id AND user_id = :user_id AND deleted_at IS NULL;

-- name: list_links(tenant_id, user_id, limit, offset)
-- Totals are summed for the links of the page only.
WITH page AS (
    SELECT id, domain, slug, name, is_active, routing_type, project_id, created_at
    FROM links
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND deleted_at IS NULL
    ORDER BY created_at DESC, id DESC
    LIMIT :limit OFFSET :offset
)
SELECT page.id, page.domain, page.slug, page.name, page.is_active, page.routing_type, page.project_id, page.created_at,
       coalesce(totals.clicks, 0) AS total_clicks,
       coalesce(totals.conversions, 0) AS total_conversions,
       totals.top_variant
FROM page
LEFT JOIN LATERAL (
    SELECT sum(t.clicks)::bigint AS clicks,
           sum(t.conversions)::bigint AS conversions,
           (array_agg(v.label ORDER BY t.conversions DESC, t.clicks DESC, v.position, v.id))[1]
               AS top_variant
    FROM click_totals t
    JOIN variants v ON v.tenant_id = t.tenant_id AND v.link_id = t.link_id AND v.id = t.variant_id
    WHERE t.tenant_id = :tenant_id AND t.link_id = page.id AND t.clicks > 0
) totals ON true
ORDER BY page.created_at DESC, page.id DESC;
