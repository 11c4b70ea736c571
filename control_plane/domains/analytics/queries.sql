-- name: sum_slots(tenant_id, subject_kind, subject, start, until)
SELECT variant_id,
       sum(clicks)::bigint AS clicks, sum(uniques)::bigint AS uniques, sum(humans)::bigint AS humans,
       sum(human_uniques)::bigint AS human_uniques, sum(conversions)::bigint AS conversions,
       sum(human_conversions)::bigint AS human_conversions, sum(visits)::bigint AS visits,
       sum(human_visits)::bigint AS human_visits, sum(page_clicks)::bigint AS page_clicks,
       sum(checkouts)::bigint AS checkouts, sum(sales)::bigint AS sales
FROM traffic_slots
WHERE tenant_id = :tenant_id AND subject_kind = :subject_kind AND subject = :subject
  AND slot >= :start AND slot < :until
GROUP BY variant_id
ORDER BY variant_id;

-- name: sum_money(tenant_id, subject_kind, subject, start, until)
SELECT variant_id, currency,
       sum(sales)::bigint AS sales, sum(gross_minor)::bigint AS gross_minor,
       sum(upsold_minor)::bigint AS upsold_minor, sum(refunded_minor)::bigint AS refunded_minor,
       sum(commission_minor)::bigint AS commission_minor
FROM revenue_slots
WHERE tenant_id = :tenant_id AND subject_kind = :subject_kind AND subject = :subject
  AND dimension = 0 AND slot >= :start AND slot < :until
GROUP BY variant_id, currency
ORDER BY variant_id, currency;

-- name: sum_slots_by_bucket(starts, tenant_id, subject_kind, subject, start, until)
-- bucket: from 1, the last of `starts` that is not after the slot.
SELECT width_bucket(slot, CAST(:starts AS timestamptz[])) AS bucket,
       sum(clicks)::bigint AS clicks, sum(uniques)::bigint AS uniques, sum(humans)::bigint AS humans,
       sum(human_uniques)::bigint AS human_uniques, sum(conversions)::bigint AS conversions,
       sum(human_conversions)::bigint AS human_conversions, sum(visits)::bigint AS visits,
       sum(human_visits)::bigint AS human_visits, sum(page_clicks)::bigint AS page_clicks,
       sum(checkouts)::bigint AS checkouts, sum(sales)::bigint AS sales
FROM traffic_slots
WHERE tenant_id = :tenant_id AND subject_kind = :subject_kind AND subject = :subject
  AND slot >= :start AND slot < :until
GROUP BY bucket;

-- name: sum_money_by_bucket(starts, tenant_id, subject_kind, subject, start, until)
SELECT width_bucket(slot, CAST(:starts AS timestamptz[])) AS bucket, currency,
       sum(sales)::bigint AS sales, sum(gross_minor)::bigint AS gross_minor,
       sum(upsold_minor)::bigint AS upsold_minor, sum(refunded_minor)::bigint AS refunded_minor,
       sum(commission_minor)::bigint AS commission_minor
FROM revenue_slots
WHERE tenant_id = :tenant_id AND subject_kind = :subject_kind AND subject = :subject
  AND dimension = 0 AND slot >= :start AND slot < :until
GROUP BY bucket, currency
ORDER BY bucket, currency;

-- name: list_variants(tenant_id, link_id)
-- Those that the link has, in their order, then those that it had.
SELECT id, label
FROM variants
WHERE tenant_id = :tenant_id AND link_id = :link_id
ORDER BY removed_at IS NOT NULL, position, id;

-- name: fetch_campaign(tenant_id, project_id, campaign_id)$
SELECT name
FROM campaigns
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :campaign_id;

-- name: count_campaigns(tenant_id, project_id)$
SELECT count(*) FROM campaigns WHERE tenant_id = :tenant_id AND project_id = :project_id;

-- name: find_following_campaigns(tenant_id, project_id, campaign_id, limit, offset)
-- By name: those that follow a campaign; all where none is named.
SELECT id
FROM campaigns
WHERE tenant_id = :tenant_id AND project_id = :project_id
  AND (CAST(:campaign_id AS uuid) IS NULL
       OR (name, id) > (SELECT name, id FROM campaigns
                        WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :campaign_id))
ORDER BY name, id
LIMIT :limit OFFSET :offset;

-- name: find_preceding_campaigns(tenant_id, project_id, campaign_id, limit)
SELECT id
FROM campaigns
WHERE tenant_id = :tenant_id AND project_id = :project_id
  AND (name, id) < (SELECT name, id FROM campaigns
                    WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :campaign_id)
ORDER BY name DESC, id DESC
LIMIT :limit;

-- name: sum_slots_of_campaigns(tenant_id, ids, start, until)
SELECT id, name,
       coalesce(total.clicks, 0) AS clicks, coalesce(total.uniques, 0) AS uniques,
       coalesce(total.humans, 0) AS humans, coalesce(total.human_uniques, 0) AS human_uniques,
       coalesce(total.conversions, 0) AS conversions,
       coalesce(total.human_conversions, 0) AS human_conversions, coalesce(total.visits, 0) AS visits,
       coalesce(total.human_visits, 0) AS human_visits, coalesce(total.page_clicks, 0) AS page_clicks,
       coalesce(total.checkouts, 0) AS checkouts, coalesce(total.sales, 0) AS sales
FROM campaigns
CROSS JOIN LATERAL (
    SELECT sum(clicks)::bigint AS clicks, sum(uniques)::bigint AS uniques, sum(humans)::bigint AS humans,
           sum(human_uniques)::bigint AS human_uniques, sum(conversions)::bigint AS conversions,
           sum(human_conversions)::bigint AS human_conversions, sum(visits)::bigint AS visits,
           sum(human_visits)::bigint AS human_visits, sum(page_clicks)::bigint AS page_clicks,
           sum(checkouts)::bigint AS checkouts, sum(sales)::bigint AS sales
    FROM traffic_slots
    WHERE tenant_id = :tenant_id AND subject_kind = 3 AND subject = campaigns.id
      AND slot >= :start AND slot < :until
) total
WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]));

-- name: sum_money_of_campaigns(tenant_id, ids, start, until)
SELECT subject, currency,
       sum(sales)::bigint AS sales, sum(gross_minor)::bigint AS gross_minor,
       sum(upsold_minor)::bigint AS upsold_minor, sum(refunded_minor)::bigint AS refunded_minor,
       sum(commission_minor)::bigint AS commission_minor
FROM revenue_slots
WHERE tenant_id = :tenant_id AND subject_kind = 3 AND subject = ANY(CAST(:ids AS uuid[]))
  AND dimension = 0 AND slot >= :start AND slot < :until
GROUP BY subject, currency
ORDER BY subject, currency;

-- name: break_down(tenant_id, subject_kind, subject, dimension, first_day, end_day, lows, highs, signs, link_id, project_id, campaign, sort, limit)
-- Whole days from their sums, pieces of days from the rows: of a link, a project, or a project's campaign.
-- The first :limit values by the measure that :sort names, and one row without a value for all others.
WITH parts AS (
    SELECT value,
           sum(clicks) AS clicks, sum(uniques) AS uniques, sum(humans) AS humans,
           sum(human_uniques) AS human_uniques, sum(conversions) AS conversions,
           sum(human_conversions) AS human_conversions, sum(visits) AS visits,
           sum(human_visits) AS human_visits
    FROM traffic_days
    WHERE tenant_id = :tenant_id AND subject_kind = :subject_kind AND subject = :subject
      AND dimension = :dimension AND day >= :first_day AND day < :end_day
    GROUP BY value
    UNION ALL
    SELECT left(CASE CAST(:dimension AS smallint)
               WHEN 1 THEN country WHEN 2 THEN device
               WHEN 3 THEN browser WHEN 4 THEN os
               WHEN 5 THEN referrer_domain WHEN 6 THEN utm_source
               WHEN 7 THEN utm_medium WHEN 8 THEN utm_campaign
               WHEN 9 THEN utm_content WHEN 10 THEN utm_term
           END, 255) AS value,
           sum(sign * clicks) AS clicks, sum(sign * uniques) AS uniques, sum(sign * humans) AS humans,
           sum(sign * human_uniques) AS human_uniques, sum(sign * conversions) AS conversions,
           sum(sign * human_conversions) AS human_conversions, sum(sign * visits) AS visits,
           sum(sign * human_visits) AS human_visits
    FROM unnest(CAST(:lows AS uuid[]), CAST(:highs AS uuid[]), CAST(:signs AS integer[]))
        AS piece (low, high, sign)
    CROSS JOIN LATERAL (
        SELECT 1 AS clicks, is_unique::integer AS uniques, (NOT is_bot)::integer AS humans,
               (is_unique AND NOT is_bot)::integer AS human_uniques, is_conversion::integer AS conversions,
               (is_conversion AND NOT is_bot)::integer AS human_conversions, 0 AS visits, 0 AS human_visits,
               country, device, browser, os, referrer_domain,
               utm_source, utm_medium, utm_campaign, utm_content, utm_term
        FROM clicks
        WHERE tenant_id = :tenant_id AND link_id IS NOT NULL
          AND (CAST(:link_id AS uuid) IS NULL OR link_id = :link_id)
          AND (CAST(:project_id AS uuid) IS NULL OR project_id = :project_id)
          AND (CAST(:campaign AS text) IS NULL OR left(utm_campaign, 255) = :campaign)
          AND id >= piece.low AND id < piece.high
        UNION ALL
        SELECT 0, 0, 0, 0, 0, 0, 1, (NOT is_bot)::integer,
               country, device, browser, os, referrer_domain,
               utm_source, utm_medium, utm_campaign, utm_content, utm_term
        FROM visits
        WHERE tenant_id = :tenant_id AND project_id = :project_id
          AND (CAST(:campaign AS text) IS NULL OR left(utm_campaign, 255) = :campaign)
          AND id >= piece.low AND id < piece.high
    ) event
    GROUP BY 1
), added AS (
    SELECT value,
           sum(clicks)::bigint AS clicks, sum(uniques)::bigint AS uniques, sum(humans)::bigint AS humans,
           sum(human_uniques)::bigint AS human_uniques, sum(conversions)::bigint AS conversions,
           sum(human_conversions)::bigint AS human_conversions, sum(visits)::bigint AS visits,
           sum(human_visits)::bigint AS human_visits
    FROM parts
    WHERE value IS NOT NULL
    GROUP BY value
), ranked AS (
    SELECT added.*, row_number() OVER (ORDER BY measure DESC, value COLLATE "C") AS place
    FROM added
    CROSS JOIN LATERAL (
        SELECT CASE CAST(:sort AS text)
            WHEN 'clicks' THEN clicks
            WHEN 'uniques' THEN uniques
            WHEN 'humans' THEN humans
            WHEN 'human_uniques' THEN human_uniques
            WHEN 'conversions' THEN conversions
            WHEN 'human_conversions' THEN human_conversions
            WHEN 'visits' THEN visits
            WHEN 'human_visits' THEN human_visits
        END AS measure
    ) chosen
    WHERE clicks <> 0 OR visits <> 0 OR conversions <> 0
)
SELECT CASE WHEN place <= :limit THEN value END AS value, count(*) AS values,
       sum(clicks)::bigint AS clicks, sum(uniques)::bigint AS uniques, sum(humans)::bigint AS humans,
       sum(human_uniques)::bigint AS human_uniques, sum(conversions)::bigint AS conversions,
       sum(human_conversions)::bigint AS human_conversions, sum(visits)::bigint AS visits,
       sum(human_visits)::bigint AS human_visits
FROM ranked
GROUP BY place <= :limit, CASE WHEN place <= :limit THEN value END
ORDER BY min(place);

-- name: break_down_money(tenant_id, subject_kind, subject, dimension, first_day, end_day, starts, untils, signs, link_id, project_id, campaign, values)
-- Money of the values, and of all others in rows without a value. counted_at: see conversions.
-- LIMIT 1 keeps each look-up by key where it stands: joined freely, they may multiply the tables first.
WITH parts AS (
    SELECT value, currency,
           sum(sales) AS sales, sum(gross_minor) AS gross_minor, sum(upsold_minor) AS upsold_minor,
           sum(refunded_minor) AS refunded_minor, sum(commission_minor) AS commission_minor
    FROM revenue_slots
    WHERE tenant_id = :tenant_id AND subject_kind = :subject_kind AND subject = :subject
      AND dimension = :dimension AND slot >= :first_day AND slot < :end_day
    GROUP BY value, currency
    UNION ALL
    SELECT left(CASE CAST(:dimension AS smallint)
               WHEN 1 THEN country WHEN 2 THEN device
               WHEN 3 THEN browser WHEN 4 THEN os
               WHEN 5 THEN referrer_domain WHEN 6 THEN utm_source
               WHEN 7 THEN utm_medium WHEN 8 THEN utm_campaign
               WHEN 9 THEN utm_content WHEN 10 THEN utm_term
           END, 255) AS value,
           currency,
           sum(sign * sales) AS sales, sum(sign * gross_minor) AS gross_minor,
           sum(sign * upsold_minor) AS upsold_minor, sum(sign * refunded_minor) AS refunded_minor,
           sum(sign * commission_minor) AS commission_minor
    FROM unnest(CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]), CAST(:signs AS integer[]))
        AS piece (start, until, sign)
    CROSS JOIN LATERAL (
        SELECT conversion.currency,
               (conversion.kind = 2)::integer AS sales,
               CASE WHEN conversion.kind = 2 THEN conversion.amount_minor ELSE 0 END AS gross_minor,
               CASE WHEN conversion.kind = 4 THEN conversion.amount_minor ELSE 0 END AS upsold_minor,
               CASE WHEN conversion.kind = 3 THEN conversion.amount_minor ELSE 0 END AS refunded_minor,
               CASE WHEN conversion.kind IN (2, 4) THEN conversion.commission_minor ELSE 0 END AS commission_minor,
               country, device, browser, os, referrer_domain,
               utm_source, utm_medium, utm_campaign, utm_content, utm_term
        FROM conversions conversion
        CROSS JOIN LATERAL (
            SELECT * FROM clicks
            WHERE tenant_id = conversion.tenant_id AND id = conversion.attributed_click
            LIMIT 1
        ) click
        LEFT JOIN LATERAL (
            SELECT kind, status, target_id FROM conversions
            WHERE tenant_id = conversion.tenant_id AND id = conversion.target_id AND conversion.kind IN (3, 4)
            LIMIT 1
        ) target ON true
        LEFT JOIN LATERAL (
            SELECT status FROM conversions
            WHERE tenant_id = conversion.tenant_id AND id = target.target_id AND target.kind = 4
            LIMIT 1
        ) sale ON true
        WHERE conversion.tenant_id = :tenant_id AND conversion.status = 'completed'
          AND (conversion.kind = 2
               OR (target.status = 'completed' AND (target.kind = 2 OR sale.status = 'completed')))
          AND (CAST(:link_id AS uuid) IS NULL OR conversion.link_id = :link_id)
          AND (CAST(:project_id AS uuid) IS NULL OR conversion.project_id = :project_id)
          AND (CAST(:campaign AS text) IS NULL OR left(click.utm_campaign, 255) = :campaign)
          AND conversion.counted_at >= piece.start AND conversion.counted_at < piece.until
    ) event
    GROUP BY 1, 2
)
SELECT CASE WHEN value = ANY (CAST(:values AS text[])) THEN value END AS value, currency,
       sum(sales)::bigint AS sales, sum(gross_minor)::bigint AS gross_minor,
       sum(upsold_minor)::bigint AS upsold_minor, sum(refunded_minor)::bigint AS refunded_minor,
       sum(commission_minor)::bigint AS commission_minor
FROM parts
WHERE value IS NOT NULL
GROUP BY 1, 2
ORDER BY currency;
