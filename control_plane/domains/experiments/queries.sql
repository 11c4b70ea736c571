-- name: count_trials(tenant_id, link_id, version, low, high)
-- Visitors whose variant was drawn: people, seen for the first time that day (reason 4 weight, 6 fingerprint).
SELECT variant_id, count(*) AS trials
FROM clicks
WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low AND id < :high
  AND link_version >= :version AND is_unique AND NOT is_bot AND reason IN (4, 6)
GROUP BY variant_id;

-- name: find_first_trial(tenant_id, link_id, version, low)$
SELECT id
FROM clicks
WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low
  AND link_version >= :version AND is_unique AND NOT is_bot AND reason IN (4, 6)
ORDER BY id
LIMIT 1;

-- name: count_young_trials(tenant_id, link_id, version, low)$
SELECT count(*)
FROM clicks
WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low
  AND link_version >= :version AND is_unique AND NOT is_bot AND reason IN (4, 6);

-- name: count_outcomes(tenant_id, link_id, version, low, high, sale_window, change_window, first_sales)^
-- What those visitors bought by that click. kind 2: sales; 3: refunds; 4: upsells. Pending sales convert and
-- bring nothing yet. windows: how long after the click sales, and refunds and upsells, count; NULL: for ever.
-- A conversion's moment is in its id. unit: the median of the first sales.
WITH sales AS MATERIALIZED (
    SELECT c.id AS click_id, c.variant_id, s.id, s.status, s.currency, s.amount_minor,
           s.refunded_minor, s.upsold_minor
    FROM conversions s
    JOIN clicks c ON c.tenant_id = s.tenant_id AND c.id = s.attributed_click
    WHERE s.tenant_id = :tenant_id AND s.link_id = :link_id AND s.kind = 2 AND s.id >= :low
      AND s.status IN ('pending', 'completed')
      AND c.tenant_id = :tenant_id AND c.link_id = :link_id AND c.id >= :low AND c.id < :high
      AND c.link_version >= :version AND c.is_unique AND NOT c.is_bot AND c.reason IN (4, 6)
      AND (:sale_window::bigint IS NULL OR id_millis(s.id) - id_millis(c.id) <= :sale_window)
), changes AS (
    SELECT sales.id AS sale_id, sum(change.amount) AS amount
    FROM sales
    CROSS JOIN LATERAL (
        SELECT CASE changed.kind WHEN 4 THEN changed.amount_minor ELSE -changed.amount_minor END AS amount
        FROM conversions changed
        WHERE changed.tenant_id = :tenant_id AND changed.target_id = sales.id AND changed.kind IN (3, 4)
          AND changed.status = 'completed'
          AND (:change_window::bigint IS NULL
               OR id_millis(changed.id) - id_millis(sales.click_id) <= :change_window)
        UNION ALL
        SELECT -refund.amount_minor
        FROM conversions upsell
        JOIN conversions refund ON refund.tenant_id = :tenant_id AND refund.target_id = upsell.id
                               AND refund.kind = 3 AND refund.status = 'completed'
        WHERE upsell.tenant_id = :tenant_id AND upsell.target_id = sales.id AND upsell.kind = 4
          AND upsell.status = 'completed'
          AND (:change_window::bigint IS NULL
               OR id_millis(refund.id) - id_millis(sales.click_id) <= :change_window)
    ) AS change
    WHERE sales.status = 'completed' AND (sales.refunded_minor <> 0 OR sales.upsold_minor <> 0)
    GROUP BY sales.id
), visitors AS (
    SELECT sales.click_id, sales.variant_id,
           coalesce(sum(sales.amount_minor + coalesce(changes.amount, 0))
                    FILTER (WHERE sales.status = 'completed'), 0) AS revenue
    FROM sales
    LEFT JOIN changes ON changes.sale_id = sales.id
    GROUP BY sales.click_id, sales.variant_id
), sums AS (
    SELECT variant_id, count(*) AS conversions, sum(revenue) AS total, sum(revenue * revenue) AS squares
    FROM visitors
    GROUP BY variant_id
)
SELECT
    (SELECT coalesce(array_agg(variant_id ORDER BY variant_id), '{}') FROM sums) AS variant_ids,
    (SELECT coalesce(array_agg(conversions ORDER BY variant_id), '{}') FROM sums) AS conversions,
    (SELECT coalesce(array_agg(total ORDER BY variant_id), '{}') FROM sums) AS totals,
    (SELECT coalesce(array_agg(squares ORDER BY variant_id), '{}') FROM sums) AS squares,
    (SELECT coalesce(array_agg(DISTINCT currency ORDER BY currency), '{}') FROM sales
     WHERE status = 'completed') AS currencies,
    (SELECT CASE WHEN count(*) = :first_sales::bigint
                 THEN percentile_disc(0.5) WITHIN GROUP (ORDER BY revenue) END::bigint
     FROM (SELECT revenue FROM visitors WHERE revenue > 0 ORDER BY click_id LIMIT :first_sales) AS first
    ) AS unit;

-- name: list_due(now, limit)
-- Experiments that the rule is to look at, of all tenants; those that waited longest first.
SELECT links.tenant_id, links.id AS link_id
FROM links
LEFT JOIN experiment_looks looks
       ON looks.tenant_id = links.tenant_id AND looks.link_id = links.id
      AND looks.experiment_version = links.experiment_version
WHERE links.auto_winner AND links.is_active AND links.routing_type = 'ab_test' AND links.deleted_at IS NULL
  AND (looks.next_look_at IS NULL OR looks.next_look_at <= :now)
  AND NOT EXISTS (
      SELECT FROM winner_decisions decided
      WHERE decided.tenant_id = links.tenant_id AND decided.link_id = links.id
        AND decided.experiment_version = links.experiment_version)
  AND NOT EXISTS (
      SELECT FROM variants
      WHERE variants.tenant_id = links.tenant_id AND variants.link_id = links.id
        AND variants.is_winner AND variants.removed_at IS NULL)
ORDER BY looks.next_look_at NULLS FIRST, links.tenant_id, links.id
LIMIT :limit;

-- name: list_reviews_due(cutoff, oldest, limit)
-- Winners that the rule declared since `oldest`, and that were not reviewed since `cutoff`.
SELECT tenant_id, id, link_id
FROM winner_decisions
WHERE outcome = 'winner' AND decided_by IS NULL AND reverted_at IS NULL
  AND decided_at >= :oldest AND coalesce(reviewed_at, decided_at) < :cutoff
ORDER BY coalesce(reviewed_at, decided_at), id
LIMIT :limit;

-- name: fetch_setup(tenant_id, link_id)^
-- The experiment that a link is, with its last look.
SELECT links.tenant_id, links.id AS link_id, links.user_id, links.version, links.is_active,
       links.routing_type, links.auto_winner, links.auto_winner_threshold AS threshold,
       links.auto_winner_goal AS goal, links.auto_winner_lag_hours AS lag_hours,
       links.experiment_version, coalesce(links.experiment_started_at, links.created_at) AS started_at,
       looks.looked_at, looks.counted_until, looks.first_trial_at
FROM links
LEFT JOIN experiment_looks looks
       ON looks.tenant_id = links.tenant_id AND looks.link_id = links.id
      AND looks.experiment_version = links.experiment_version
WHERE links.tenant_id = :tenant_id AND links.id = :link_id AND links.deleted_at IS NULL;

-- name: list_variants(tenant_id, link_id)
SELECT id, label, weight, is_winner
FROM variants
WHERE tenant_id = :tenant_id AND link_id = :link_id AND removed_at IS NULL
ORDER BY position;

-- name: has_news(tenant_id, link_id, low, high, sold_since)$
-- Whether clicks have come of age since `low`, or conversions have come in.
SELECT EXISTS (
    SELECT FROM clicks
    WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :low AND id < :high
      AND is_unique AND NOT is_bot AND reason IN (4, 6)
) OR EXISTS (
    SELECT FROM conversions
    WHERE tenant_id = :tenant_id AND link_id = :link_id AND id >= :sold_since
);

-- name: put_look(tenant_id, link_id, experiment_version, looked_at, counted_until, first_trial_at, next_look_at)!
INSERT INTO experiment_looks (tenant_id, link_id, experiment_version, looked_at, counted_until,
                              first_trial_at, next_look_at)
VALUES (:tenant_id, :link_id, :experiment_version, :looked_at, :counted_until, :first_trial_at, :next_look_at)
ON CONFLICT (tenant_id, link_id) DO UPDATE
SET experiment_version = EXCLUDED.experiment_version, looked_at = EXCLUDED.looked_at,
    counted_until = EXCLUDED.counted_until, first_trial_at = EXCLUDED.first_trial_at,
    next_look_at = EXCLUDED.next_look_at;

-- name: put_off(tenant_id, link_id, now, next_look_at)!
-- Look at an experiment later, having learnt nothing.
INSERT INTO experiment_looks (tenant_id, link_id, experiment_version, looked_at, counted_until, next_look_at)
SELECT tenant_id, id, experiment_version, :now, coalesce(experiment_started_at, created_at), :next_look_at
FROM links
WHERE tenant_id = :tenant_id AND id = :link_id
ON CONFLICT (tenant_id, link_id) DO UPDATE
SET experiment_version = EXCLUDED.experiment_version, next_look_at = EXCLUDED.next_look_at;

-- name: lock_link(tenant_id, link_id)$
-- Hold the link until the transaction ends, so that two changes follow one another.
SELECT id FROM links
WHERE tenant_id = :tenant_id AND id = :link_id AND deleted_at IS NULL
FOR UPDATE;

-- name: mark_winner(tenant_id, link_id, variant_id)!
UPDATE variants
SET is_winner = (id = :variant_id)
WHERE tenant_id = :tenant_id AND link_id = :link_id AND removed_at IS NULL;

-- name: clear_winner(tenant_id, link_id)!
UPDATE variants SET is_winner = false WHERE tenant_id = :tenant_id AND link_id = :link_id AND is_winner;

-- name: raise_version(tenant_id, link_id, now)$
UPDATE links
SET version = version + 1, updated_at = greatest(:now, updated_at + interval '1 microsecond')
WHERE tenant_id = :tenant_id AND id = :link_id
RETURNING version;

-- name: begin_anew(tenant_id, link_id, now)$
-- The link's next version begins a new experiment.
UPDATE links
SET version = version + 1, experiment_version = version + 1, experiment_started_at = :now,
    updated_at = greatest(:now, updated_at + interval '1 microsecond')
WHERE tenant_id = :tenant_id AND id = :link_id
RETURNING version;

-- name: insert_decision(tenant_id, id, link_id, experiment_version, link_version, decided_at, outcome, reason, variant_id, variant_label, goal, decided_by, data)!
INSERT INTO winner_decisions (tenant_id, id, link_id, experiment_version, link_version, decided_at, outcome,
                              reason, variant_id, variant_label, goal, decided_by, data)
VALUES (:tenant_id, :id, :link_id, :experiment_version, :link_version, :decided_at, :outcome,
        :reason, :variant_id, :variant_label, :goal, :decided_by, :data);

-- name: fetch_decision(tenant_id, link_id, experiment_version)^
SELECT id, link_id, experiment_version, link_version, decided_at, outcome, reason, variant_id, variant_label,
       goal, decided_by, data, review, reviewed_at, reverted_at, reverted_by
FROM winner_decisions
WHERE tenant_id = :tenant_id AND link_id = :link_id AND experiment_version = :experiment_version;

-- name: list_decisions(tenant_id, link_id, limit, offset)
SELECT id, link_id, experiment_version, link_version, decided_at, outcome, reason, variant_id, variant_label,
       goal, decided_by, data, review, reviewed_at, reverted_at, reverted_by
FROM winner_decisions
WHERE tenant_id = :tenant_id AND link_id = :link_id
ORDER BY experiment_version DESC
LIMIT :limit OFFSET :offset;

-- name: count_decisions(tenant_id, link_id)$
SELECT count(*) FROM winner_decisions WHERE tenant_id = :tenant_id AND link_id = :link_id;

-- name: end_decision(tenant_id, link_id, now, user_id)!
UPDATE winner_decisions
SET reverted_at = :now, reverted_by = :user_id
WHERE tenant_id = :tenant_id AND link_id = :link_id AND reverted_at IS NULL;

-- name: put_review(tenant_id, id, now, review)!
UPDATE winner_decisions SET review = :review, reviewed_at = :now WHERE tenant_id = :tenant_id AND id = :id;
