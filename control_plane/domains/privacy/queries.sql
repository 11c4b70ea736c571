-- name: insert_erasure(tenant_id, id, kind, subject, digest, day, whole_visitor, requested_by, now)$
-- Gives nothing when the same was asked for before.
INSERT INTO erasures (tenant_id, id, kind, subject, digest, day, whole_visitor, requested_at, requested_by,
                      due_at)
VALUES (:tenant_id, :id, :kind, :subject, :digest, :day, :whole_visitor, :now, :requested_by, :now)
ON CONFLICT (tenant_id, digest) DO NOTHING
RETURNING id;

-- name: find_erasure_id(tenant_id, digest)$
SELECT id FROM erasures WHERE tenant_id = :tenant_id AND digest = :digest;

-- name: count_erasures(tenant_id)$
SELECT count(*) FROM erasures WHERE tenant_id = :tenant_id;

-- name: find_older_erasures(tenant_id, low, high, limit, offset)
SELECT id
FROM erasures
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id DESC
LIMIT :limit OFFSET :offset;

-- name: find_newer_erasures(tenant_id, low, high, limit)
SELECT id
FROM erasures
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id
LIMIT :limit;

-- name: fetch_erasures(tenant_id, ids)
SELECT id, kind, subject, day, whole_visitor, requested_at, requested_by, clicks, visits, conversions,
       finished_at
FROM erasures
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]));

-- name: list_due(now, limit)
SELECT tenant_id, id, kind, subject, whole_visitor, due_at
FROM erasures
WHERE due_at <= :now
ORDER BY due_at
LIMIT :limit;

-- name: make_due(tenant_ids, ids)!
-- In order of key, so that nobody waits crosswise.
WITH held AS (
    SELECT e.tenant_id, e.id
    FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
    JOIN erasures e USING (tenant_id, id)
    ORDER BY e.tenant_id, e.id
    FOR NO KEY UPDATE OF e
)
UPDATE erasures e
SET due_at = clock_timestamp()
FROM held
WHERE e.tenant_id = held.tenant_id AND e.id = held.id;

-- name: add_counts(tenant_id, id, clicks, visits, conversions)!
UPDATE erasures
SET clicks = clicks + :clicks, visits = visits + :visits, conversions = conversions + :conversions
WHERE tenant_id = :tenant_id AND id = :id;

-- name: finish(tenant_id, id, due_at, keeps_subject, now, again_at, again_since)!
-- Unless something that it is about has landed since it was taken up. Those asked for since :again_since are
-- looked at again.
UPDATE erasures
SET due_at = CASE WHEN requested_at > :again_since THEN CAST(:again_at AS timestamptz) END,
    finished_at = coalesce(finished_at, :now),
    subject = CASE WHEN :keeps_subject THEN subject END
WHERE tenant_id = :tenant_id AND id = :id AND due_at = :due_at;

-- name: lock_subjects()$
-- Whoever notes subjects does it one after the other: their numbers become visible in their order.
SELECT pg_advisory_xact_lock(hashtext('erased_subjects'));

-- name: note_subjects(tenant_id, erasure_id, keys, are_asked, days, now)
INSERT INTO erased_subjects (tenant_id, erasure_id, key, is_asked, day, noted_at)
SELECT :tenant_id, :erasure_id, noted.key, noted.is_asked, noted.day, :now
FROM unnest(CAST(:keys AS bytea[]), CAST(:are_asked AS boolean[]), CAST(:days AS date[]))
    AS noted (key, is_asked, day)
ON CONFLICT DO NOTHING
RETURNING number;

-- name: list_subjects(tenant_id, erasure_id)
SELECT key, is_asked, day FROM erased_subjects WHERE tenant_id = :tenant_id AND erasure_id = :erasure_id;

-- name: list_new_subjects(after)
SELECT s.number, s.tenant_id, s.erasure_id, s.key, s.day, s.is_asked AND e.whole_visitor AS tells_visitor
FROM erased_subjects s
JOIN erasures e ON e.tenant_id = s.tenant_id AND e.id = s.erasure_id
WHERE s.number > :after
ORDER BY s.number;

-- name: trim_subjects(noted_before)!
DELETE FROM erased_subjects WHERE noted_at < :noted_before;

-- name: read_horizon()$
-- Transactions that write and have begun so far have lower numbers.
SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint);

-- name: read_oldest()$
-- All transactions with lower numbers have ended.
SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint);

-- name: find_clicks(tenant_id, ids)
SELECT id, link_id, click_id, visit_id, visitor_id
FROM clicks
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]));

-- name: find_clicks_by_word(tenant_id, words)
SELECT id, link_id, click_id, visit_id, visitor_id
FROM clicks
WHERE tenant_id = :tenant_id AND click_id = ANY(CAST(:words AS text[]));

-- name: find_clicks_of_visits(tenant_id, words)
SELECT id, link_id, click_id, visit_id, visitor_id
FROM clicks
WHERE tenant_id = :tenant_id AND visit_id = ANY(CAST(:words AS text[]));

-- name: find_visits(tenant_id, ids)
SELECT id, click_id, visitor_id
FROM visits
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]));

-- name: find_visits_of_clicks(tenant_id, words)
SELECT id, click_id, visitor_id
FROM visits
WHERE tenant_id = :tenant_id AND click_id = ANY(CAST(:words AS text[]));

-- name: find_conversions(tenant_id, clicks, click_words, visit_words, targets)
SELECT id, project_id, click_id, visit_id
FROM conversions
WHERE tenant_id = :tenant_id AND attributed_click = ANY(CAST(:clicks AS uuid[]))
UNION
SELECT id, project_id, click_id, visit_id
FROM conversions
WHERE tenant_id = :tenant_id AND click_id = ANY(CAST(:click_words AS text[]))
UNION
SELECT id, project_id, click_id, visit_id
FROM conversions
WHERE tenant_id = :tenant_id AND visit_id = ANY(CAST(:visit_words AS text[]))
UNION
SELECT id, project_id, click_id, visit_id
FROM conversions
WHERE tenant_id = :tenant_id AND target_id = ANY(CAST(:targets AS uuid[]));

-- name: find_visitors_clicks(tenant_id, visitor_ids, low, high)
SELECT id
FROM clicks
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high AND visitor_id = ANY(CAST(:visitor_ids AS bigint[]));

-- name: find_visitors_visits(tenant_id, visitor_ids, low, high)
SELECT id
FROM visits
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high AND visitor_id = ANY(CAST(:visitor_ids AS bigint[]));

-- name: list_attributed(tenant_ids, ids)
-- And what had waited for them.
SELECT c.tenant_id, c.id, c.project_id, c.attributed_click
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, id)
JOIN conversions c USING (tenant_id, id)
UNION
SELECT c.tenant_id, c.id, c.project_id, c.attributed_click
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:ids AS uuid[])) AS wanted (tenant_id, target_id)
JOIN conversions c USING (tenant_id, target_id);

-- name: forget_clicks(tenant_id, ids, low, high, landed_since)
-- low, high: of the ids, for the planner. What sums are kept by stays: country, device, browser, os,
-- referrer_domain, utm_*; and how clicks, visits and sales belong together.
UPDATE clicks
SET visitor_id = NULL, ip_address = NULL, user_agent = NULL, referrer = NULL, query = NULL, keyword = NULL,
    click_id = forgotten_word(click_id), visit_id = forgotten_word(visit_id),
    target_url = forgotten_url(target_url), element_text = NULL
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[])) AND id BETWEEN :low AND :high
  AND landed_at >= :landed_since
  AND (visitor_id IS NOT NULL OR ip_address IS NOT NULL OR user_agent IS NOT NULL OR referrer IS NOT NULL
       OR query IS NOT NULL)
RETURNING id;

-- name: forget_visits(tenant_id, ids, low, high, landed_since)
UPDATE visits
SET visitor_id = NULL, client_id = NULL, ip_address = NULL, user_agent = NULL, referrer = NULL,
    keyword = NULL, gclid = NULL, fbclid = NULL, ttclid = NULL, click_id = forgotten_word(click_id),
    landing_url = coalesce(forgotten_url(landing_url), '')
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[])) AND id BETWEEN :low AND :high
  AND landed_at >= :landed_since
  AND (visitor_id IS NOT NULL OR ip_address IS NOT NULL OR user_agent IS NOT NULL OR referrer IS NOT NULL
       OR client_id IS NOT NULL)
RETURNING id;

-- name: forget_conversions(tenant_id, ids)
-- What was bought, for how much and under which number are books that have to be kept.
UPDATE conversions
SET reason = NULL, click_id = forgotten_word(click_id), visit_id = forgotten_word(visit_id),
    is_forgotten = true
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]))
  AND (reason IS NOT NULL OR click_id IS DISTINCT FROM forgotten_word(click_id)
       OR visit_id IS DISTINCT FROM forgotten_word(visit_id))
RETURNING id;

-- name: list_retentions()
SELECT id AS tenant_id, event_retention_days AS days, updated_at AS as_of
FROM tenants
WHERE event_retention_days IS NOT NULL
ORDER BY id;

-- name: find_retentions(tenant_ids)
SELECT id AS tenant_id, event_retention_days AS days, updated_at AS as_of
FROM tenants
WHERE id = ANY(CAST(:tenant_ids AS uuid[])) AND event_retention_days IS NOT NULL;

-- name: find_mark(tenant_id, event_table)$
SELECT forgotten_until FROM retention_marks WHERE tenant_id = :tenant_id AND event_table = :event_table;

-- name: raise_mark(tenant_id, event_table, forgotten_until, as_of)!
-- Unless the tenant has changed meanwhile: whoever changes it holds its row, and may have removed the mark.
WITH held AS (
    SELECT id FROM tenants WHERE id = :tenant_id AND updated_at = :as_of FOR SHARE
)
INSERT INTO retention_marks AS kept (tenant_id, event_table, forgotten_until)
SELECT id, CAST(:event_table AS text), CAST(:forgotten_until AS uuid) FROM held
ON CONFLICT (tenant_id, event_table) DO UPDATE
SET forgotten_until = greatest(kept.forgotten_until, excluded.forgotten_until);

-- name: page_clicks(tenant_id, low, high, limit)
SELECT id,
       visitor_id IS NOT NULL OR ip_address IS NOT NULL OR user_agent IS NOT NULL OR referrer IS NOT NULL
       OR query IS NOT NULL AS is_somebodys
FROM clicks
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id
LIMIT :limit;

-- name: page_visits(tenant_id, low, high, limit)
SELECT id,
       visitor_id IS NOT NULL OR ip_address IS NOT NULL OR user_agent IS NOT NULL OR referrer IS NOT NULL
       OR client_id IS NOT NULL AS is_somebodys
FROM visits
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id
LIMIT :limit;

-- name: page_conversions(tenant_id, low, high, limit)
SELECT id, project_id,
       reason IS NOT NULL OR click_id IS DISTINCT FROM forgotten_word(click_id)
       OR visit_id IS DISTINCT FROM forgotten_word(visit_id) AS is_somebodys
FROM conversions
WHERE tenant_id = :tenant_id AND id >= :low AND id < :high
ORDER BY id
LIMIT :limit;
