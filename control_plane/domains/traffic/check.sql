-- Sums beside what the rows of the same months say. Each query gives what disagrees, and nothing else.

-- name: compare_totals()
WITH counted AS (
    SELECT tenant_id, link_id, variant_id, count(*) AS clicks, count(*) FILTER (WHERE is_bot) AS bots,
           count(*) FILTER (WHERE is_conversion) AS conversions
    FROM clicks WHERE link_id IS NOT NULL GROUP BY 1, 2, 3
)
SELECT 'click_totals' AS sums, link_id AS subject, variant_id, NULL::timestamptz AS slot,
       to_jsonb(array[kept.clicks, kept.bots, kept.conversions]) AS stored,
       to_jsonb(array[counted.clicks, counted.bots, counted.conversions]) AS counted
FROM counted FULL JOIN click_totals kept USING (tenant_id, link_id, variant_id)
WHERE (kept.clicks, kept.bots, kept.conversions)
      IS DISTINCT FROM (counted.clicks, counted.bots, counted.conversions);

-- name: compare_slots()
-- Clicks, visits and clicks on pages, of links, projects and campaigns.
WITH events AS (
    SELECT tenant_id, id, link_id, variant_id, project_id, utm_campaign, is_unique, is_bot, is_conversion,
           false AS is_visit
    FROM clicks
    UNION ALL
    SELECT tenant_id, id, NULL, NULL, project_id, utm_campaign, is_unique, is_bot, false, true FROM visits
), counted AS (
    SELECT e.tenant_id, about.subject_kind, about.subject, about.variant_id,
           date_bin('15 minutes', to_timestamp(('x' || left(replace(e.id::text, '-', ''), 12))::bit(48)::bigint / 1000.0),
                    'epoch') AS slot,
           count(link_id) AS clicks, count(link_id) FILTER (WHERE is_unique) AS uniques,
           count(link_id) FILTER (WHERE NOT is_bot) AS humans,
           count(link_id) FILTER (WHERE is_unique AND NOT is_bot) AS human_uniques,
           count(link_id) FILTER (WHERE is_conversion) AS conversions,
           count(link_id) FILTER (WHERE is_conversion AND NOT is_bot) AS human_conversions,
           count(*) FILTER (WHERE is_visit) AS visits,
           count(*) FILTER (WHERE is_visit AND NOT is_bot) AS human_visits,
           count(*) FILTER (WHERE link_id IS NULL AND NOT is_visit) AS page_clicks
    FROM events e
    LEFT JOIN campaigns named ON named.tenant_id = e.tenant_id AND named.project_id = e.project_id
                             AND named.name = left(e.utm_campaign, 255)
    CROSS JOIN LATERAL (VALUES
        (1::smallint, e.link_id, e.variant_id),
        (2, e.project_id, CAST('00000000-0000-0000-0000-000000000000' AS uuid)),
        (3, named.id, CAST('00000000-0000-0000-0000-000000000000' AS uuid))
    ) AS about (subject_kind, subject, variant_id)
    WHERE about.subject IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
), kept AS (
    SELECT * FROM traffic_slots
    WHERE (clicks, uniques, humans, human_uniques, conversions, human_conversions, visits, human_visits,
           page_clicks) <> (0, 0, 0, 0, 0, 0, 0, 0, 0)
)
SELECT 'traffic_slots' AS sums, subject, variant_id, slot,
       to_jsonb(array[kept.clicks, kept.uniques, kept.humans, kept.human_uniques, kept.conversions,
                      kept.human_conversions, kept.visits, kept.human_visits, kept.page_clicks]) AS stored,
       to_jsonb(array[counted.clicks, counted.uniques, counted.humans, counted.human_uniques,
                      counted.conversions, counted.human_conversions, counted.visits, counted.human_visits,
                      counted.page_clicks]) AS counted
FROM counted FULL JOIN kept USING (tenant_id, subject_kind, subject, variant_id, slot)
WHERE (kept.clicks, kept.uniques, kept.humans, kept.human_uniques, kept.conversions, kept.human_conversions,
       kept.visits, kept.human_visits, kept.page_clicks)
      IS DISTINCT FROM (counted.clicks, counted.uniques, counted.humans, counted.human_uniques,
                        counted.conversions, counted.human_conversions, counted.visits, counted.human_visits,
                        counted.page_clicks);

-- name: compare_days()
-- Clicks and visits by what is known of the visitor, of links, projects and campaigns.
WITH events AS (
    SELECT tenant_id, id, link_id, variant_id, project_id, is_unique, is_bot, is_conversion, false AS is_visit,
           country, device, browser, os, referrer_domain,
           utm_source, utm_medium, utm_campaign, utm_content, utm_term
    FROM clicks WHERE link_id IS NOT NULL
    UNION ALL
    SELECT tenant_id, id, NULL, NULL, project_id, is_unique, is_bot, false, true,
           country, device, browser, os, referrer_domain,
           utm_source, utm_medium, utm_campaign, utm_content, utm_term
    FROM visits
), counted AS (
    SELECT e.tenant_id, about.subject_kind, about.subject, about.variant_id,
           (to_timestamp(('x' || left(replace(e.id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
            AT TIME ZONE 'UTC')::date AS day,
           known.dimension, left(known.value, 255) AS value,
           count(link_id) AS clicks, count(link_id) FILTER (WHERE is_unique) AS uniques,
           count(link_id) FILTER (WHERE NOT is_bot) AS humans,
           count(link_id) FILTER (WHERE is_unique AND NOT is_bot) AS human_uniques,
           count(link_id) FILTER (WHERE is_conversion) AS conversions,
           count(link_id) FILTER (WHERE is_conversion AND NOT is_bot) AS human_conversions,
           count(*) FILTER (WHERE is_visit) AS visits,
           count(*) FILTER (WHERE is_visit AND NOT is_bot) AS human_visits
    FROM events e
    LEFT JOIN campaigns named ON named.tenant_id = e.tenant_id AND named.project_id = e.project_id
                             AND named.name = left(e.utm_campaign, 255)
    CROSS JOIN LATERAL (VALUES
        (1::smallint, e.link_id, e.variant_id),
        (2, e.project_id, CAST('00000000-0000-0000-0000-000000000000' AS uuid)),
        (3, named.id, CAST('00000000-0000-0000-0000-000000000000' AS uuid))
    ) AS about (subject_kind, subject, variant_id)
    CROSS JOIN LATERAL (VALUES
        (1::smallint, country), (2, device), (3, browser), (4, os), (5, referrer_domain), (6, utm_source),
        (7, utm_medium), (8, utm_campaign), (9, utm_content), (10, utm_term)
    ) AS known (dimension, value)
    WHERE about.subject IS NOT NULL AND known.value <> ''
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), kept AS (
    SELECT * FROM traffic_days
    WHERE (clicks, uniques, humans, human_uniques, conversions, human_conversions, visits, human_visits)
          <> (0, 0, 0, 0, 0, 0, 0, 0)
)
SELECT 'traffic_days' AS sums, subject, variant_id, day::timestamptz AS slot,
       to_jsonb(array[kept.clicks, kept.uniques, kept.humans, kept.human_uniques, kept.conversions,
                      kept.human_conversions, kept.visits, kept.human_visits]) AS stored,
       to_jsonb(array[counted.clicks, counted.uniques, counted.humans, counted.human_uniques,
                      counted.conversions, counted.human_conversions, counted.visits,
                      counted.human_visits]) AS counted
FROM counted FULL JOIN kept USING (tenant_id, subject_kind, subject, variant_id, day, dimension, value)
WHERE (kept.clicks, kept.uniques, kept.humans, kept.human_uniques, kept.conversions, kept.human_conversions,
       kept.visits, kept.human_visits)
      IS DISTINCT FROM (counted.clicks, counted.uniques, counted.humans, counted.human_uniques,
                        counted.conversions, counted.human_conversions, counted.visits, counted.human_visits);

-- name: compare_money()
-- Each sale with what came back and what came on top: of links, projects and campaigns, in every dimension.
WITH effective AS (
    SELECT c.tenant_id, c.project_id, c.link_id, c.variant_id, c.attributed_click, c.currency, c.counted_at,
           CASE WHEN c.kind = 2 THEN 1 ELSE 0 END AS sales,
           CASE WHEN c.kind = 2 THEN c.amount_minor ELSE 0 END AS gross,
           CASE WHEN c.kind = 4 THEN c.amount_minor ELSE 0 END AS upsold,
           CASE WHEN c.kind = 3 THEN c.amount_minor ELSE 0 END AS refunded,
           CASE WHEN c.kind <> 3 THEN c.commission_minor ELSE 0 END AS commission
    FROM conversions c
    LEFT JOIN conversions t ON t.tenant_id = c.tenant_id AND t.id = c.target_id AND c.kind IN (3, 4)
    LEFT JOIN conversions r ON r.tenant_id = t.tenant_id AND r.id = t.target_id AND t.kind = 4
    WHERE c.status = 'completed' AND c.kind <> 1
      AND (c.kind = 2 OR (t.status = 'completed' AND (t.kind = 2 OR r.status = 'completed')))
), counted AS (
    SELECT e.tenant_id, about.subject_kind, about.subject, about.variant_id, known.dimension,
           left(known.value, 255) AS value, e.currency,
           date_bin(CASE known.dimension WHEN 0 THEN interval '15 minutes' ELSE interval '1 day' END,
                    e.counted_at, 'epoch') AS slot,
           sum(sales)::bigint AS sales, sum(gross)::bigint AS gross, sum(upsold)::bigint AS upsold,
           sum(refunded)::bigint AS refunded, sum(commission)::bigint AS commission
    FROM effective e
    LEFT JOIN clicks k ON k.tenant_id = e.tenant_id AND k.id = e.attributed_click
    LEFT JOIN campaigns named ON named.tenant_id = e.tenant_id AND named.project_id = e.project_id
                             AND named.name = left(k.utm_campaign, 255)
    CROSS JOIN LATERAL (VALUES
        (1::smallint, e.link_id, e.variant_id),
        (2, e.project_id, CAST('00000000-0000-0000-0000-000000000000' AS uuid)),
        (3, named.id, CAST('00000000-0000-0000-0000-000000000000' AS uuid))
    ) AS about (subject_kind, subject, variant_id)
    CROSS JOIN LATERAL (VALUES
        (0::smallint, ''), (1, nullif(k.country, '')), (2, nullif(k.device, '')),
        (3, nullif(k.browser, '')), (4, nullif(k.os, '')), (5, nullif(k.referrer_domain, '')),
        (6, nullif(k.utm_source, '')), (7, nullif(k.utm_medium, '')), (8, nullif(k.utm_campaign, '')),
        (9, nullif(k.utm_content, '')), (10, nullif(k.utm_term, ''))
    ) AS known (dimension, value)
    WHERE about.subject IS NOT NULL AND known.value IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), kept AS (
    SELECT * FROM revenue_slots
    WHERE (sales, gross_minor, upsold_minor, refunded_minor, commission_minor) <> (0, 0, 0, 0, 0)
)
SELECT 'revenue_slots' AS sums, subject, variant_id, slot,
       to_jsonb(array[kept.sales, kept.gross_minor, kept.upsold_minor, kept.refunded_minor,
                      kept.commission_minor]) AS stored,
       to_jsonb(array[counted.sales, counted.gross, counted.upsold, counted.refunded,
                      counted.commission]) AS counted
FROM counted
FULL JOIN kept USING (tenant_id, subject_kind, subject, variant_id, dimension, value, currency, slot)
WHERE (kept.sales, kept.gross_minor, kept.upsold_minor, kept.refunded_minor, kept.commission_minor)
      IS DISTINCT FROM (counted.sales, counted.gross, counted.upsold, counted.refunded, counted.commission);

-- name: compare_checkouts()
-- Checkouts and sales that were not rejected, of links, projects and campaigns.
WITH counted AS (
    SELECT c.tenant_id, about.subject_kind, about.subject, about.variant_id,
           date_bin('15 minutes', c.counted_at, 'epoch') AS slot,
           count(*) FILTER (WHERE c.kind = 1) AS checkouts, count(*) FILTER (WHERE c.kind = 2) AS sales
    FROM conversions c
    LEFT JOIN clicks k ON k.tenant_id = c.tenant_id AND k.id = c.attributed_click
    LEFT JOIN campaigns named ON named.tenant_id = c.tenant_id AND named.project_id = c.project_id
                             AND named.name = left(k.utm_campaign, 255)
    CROSS JOIN LATERAL (VALUES
        (1::smallint, c.link_id, c.variant_id),
        (2, c.project_id, CAST('00000000-0000-0000-0000-000000000000' AS uuid)),
        (3, named.id, CAST('00000000-0000-0000-0000-000000000000' AS uuid))
    ) AS about (subject_kind, subject, variant_id)
    WHERE c.kind IN (1, 2) AND c.status <> 'rejected' AND about.subject IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
), kept AS (
    SELECT * FROM traffic_slots WHERE (checkouts, sales) <> (0, 0)
)
SELECT 'traffic_slots' AS sums, subject, variant_id, slot,
       to_jsonb(array[kept.checkouts, kept.sales]) AS stored,
       to_jsonb(array[counted.checkouts, counted.sales]) AS counted
FROM counted FULL JOIN kept USING (tenant_id, subject_kind, subject, variant_id, slot)
WHERE (kept.checkouts, kept.sales) IS DISTINCT FROM (counted.checkouts, counted.sales);

-- name: compare_targets()
-- What sales and upsells say was refunded and sold on top, against the refunds and upsells themselves.
SELECT 'conversions' AS sums, kept.id AS subject, NULL::uuid AS variant_id, NULL::timestamptz AS slot,
       to_jsonb(array[kept.refunded_minor, kept.upsold_minor]) AS stored,
       to_jsonb(array[coalesce(counted.refunded, 0), coalesce(counted.upsold, 0)]) AS counted
FROM conversions kept
LEFT JOIN (
    SELECT tenant_id, target_id AS id,
           coalesce(sum(amount_minor) FILTER (WHERE kind = 3), 0)::bigint AS refunded,
           coalesce(sum(amount_minor) FILTER (WHERE kind = 4), 0)::bigint AS upsold
    FROM conversions
    WHERE target_id IS NOT NULL AND status = 'completed'
    GROUP BY 1, 2
) counted USING (tenant_id, id)
WHERE (kept.refunded_minor, kept.upsold_minor)
      IS DISTINCT FROM (coalesce(counted.refunded, 0), coalesce(counted.upsold, 0));

-- name: compare_marks()
-- Clicks that are marked as conversions against the sales that name them.
SELECT 'clicks.is_conversion' AS sums, c.id AS subject, NULL::uuid AS variant_id, NULL::timestamptz AS slot,
       to_jsonb(c.is_conversion) AS stored, to_jsonb(s.id IS NOT NULL) AS counted
FROM (SELECT tenant_id, id, is_conversion FROM clicks WHERE is_conversion) c
FULL JOIN (
    SELECT DISTINCT tenant_id, attributed_click AS id FROM conversions
    WHERE attributed_click IS NOT NULL AND kind = 2 AND status <> 'rejected'
) s USING (tenant_id, id)
WHERE (c.id IS NULL AND EXISTS (SELECT FROM clicks k WHERE k.tenant_id = s.tenant_id AND k.id = s.id))
   OR s.id IS NULL;
