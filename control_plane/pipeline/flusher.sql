-- name: ensure_journals(journal_ids)!
-- In order of id, so that two flushers with the same journals wait for each other, never crosswise.
INSERT INTO journal_ledger (journal_id)
SELECT journal_id FROM unnest(CAST(:journal_ids AS uuid[])) AS journal_id ORDER BY journal_id
ON CONFLICT (journal_id) DO NOTHING;

-- name: lock_journals(journal_ids)$
-- Chunks of a journal land one transaction after the other: who waits here sees what landed before.
SELECT count(*)
FROM (
    SELECT journal_id FROM journal_ledger
    WHERE journal_id = ANY (CAST(:journal_ids AS uuid[]))
    ORDER BY journal_id
    FOR UPDATE
) locked;

-- name: list_landed(journal_ids, sequences)
-- Which of the chunks (position by position: journal, sequence) have landed already.
SELECT chunk.journal_id, chunk.sequence
FROM unnest(CAST(:journal_ids AS uuid[]), CAST(:sequences AS bigint[])) AS chunk (journal_id, sequence)
JOIN journal_ledger ledger USING (journal_id)
WHERE ledger.landed @> chunk.sequence;

-- name: record_landed(journal_ids, sequences, events)!
UPDATE journal_ledger ledger
SET landed = ledger.landed + new.landed,
    events = ledger.events + new.events,
    updated_at = clock_timestamp()
FROM (
    SELECT journal_id, range_agg(int8range(sequence, sequence + 1)) AS landed, sum(events) AS events
    FROM unnest(CAST(:journal_ids AS uuid[]), CAST(:sequences AS bigint[]), CAST(:events AS bigint[]))
        AS chunk (journal_id, sequence, events)
    GROUP BY journal_id
) new
WHERE ledger.journal_id = new.journal_id;

-- name: list_watermarks(journal_ids)
-- How far each journal has landed without a gap; 0 when its first chunk is missing.
SELECT journal_id,
       coalesce((SELECT upper(first) - 1 FROM unnest(landed) first WHERE lower(first) <= 1), 0) AS sequence
FROM journal_ledger
WHERE journal_id = ANY (CAST(:journal_ids AS uuid[]));

-- name: add_to_totals(tenant_ids, link_ids, variant_ids, clicks, bots, prefetches, conversions)!
-- In order of key, for the reason that ensure_journals gives.
INSERT INTO click_totals AS kept (tenant_id, link_id, variant_id, clicks, bots, prefetches, conversions)
SELECT *
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:link_ids AS uuid[]), CAST(:variant_ids AS uuid[]),
            CAST(:clicks AS bigint[]), CAST(:bots AS bigint[]), CAST(:prefetches AS bigint[]),
            CAST(:conversions AS bigint[]))
    AS new (tenant_id, link_id, variant_id, clicks, bots, prefetches, conversions)
ORDER BY tenant_id, link_id, variant_id
ON CONFLICT (tenant_id, link_id, variant_id) DO UPDATE
SET clicks = kept.clicks + excluded.clicks,
    bots = kept.bots + excluded.bots,
    prefetches = kept.prefetches + excluded.prefetches,
    conversions = kept.conversions + excluded.conversions;

-- name: insert_visits(rows, now)
-- rows: JSON objects by column. A visit that is there already is passed over.
INSERT INTO visits (
    tenant_id, id, project_id, client_id, visitor_id, is_unique, is_bot, bot_reason, verdict_version,
    landed_at, click_id, landing_url, referrer, referrer_domain, utm_source, utm_medium, utm_campaign,
    utm_content, utm_term, campaign, ad_group, keyword, network, gclid, fbclid, ttclid, ip_address, country,
    user_agent, browser, os, device)
SELECT tenant_id, id, project_id, client_id, visitor_id, is_unique, is_bot, bot_reason, verdict_version,
       :now, click_id, landing_url, referrer, referrer_domain, utm_source, utm_medium, utm_campaign,
       utm_content, utm_term, campaign, ad_group, keyword, network, gclid, fbclid, ttclid, ip_address,
       country, user_agent, browser, os, device
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    tenant_id uuid, id uuid, project_id uuid, client_id text, visitor_id bigint, is_unique boolean,
    is_bot boolean, bot_reason text, verdict_version smallint, click_id text, landing_url text,
    referrer text, referrer_domain text, utm_source text, utm_medium text, utm_campaign text,
    utm_content text, utm_term text, campaign text, ad_group text, keyword text, network text, gclid text,
    fbclid text, ttclid text, ip_address inet, country text, user_agent text, browser text, os text,
    device text)
ORDER BY tenant_id, id
ON CONFLICT DO NOTHING
RETURNING id;

-- name: insert_page_clicks(rows, now)
INSERT INTO clicks (
    tenant_id, id, project_id, click_id, visit_id, visitor_id, is_prefetch, is_bot, bot_reason,
    is_conversion, verdict_version, landed_at, target_url, element_type, element_text, campaign, ad_group,
    keyword, utm_source, utm_medium, utm_campaign, utm_content, utm_term, ip_address, country, user_agent,
    browser, os, device)
SELECT tenant_id, id, project_id, click_id, visit_id, visitor_id, false, is_bot, bot_reason, false,
       verdict_version, :now, target_url, element_type, element_text, campaign, ad_group, keyword,
       utm_source, utm_medium, utm_campaign, utm_content, utm_term, ip_address, country, user_agent,
       browser, os, device
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
    tenant_id uuid, id uuid, project_id uuid, click_id text, visit_id text, visitor_id bigint,
    is_bot boolean, bot_reason text, verdict_version smallint, target_url text, element_type text,
    element_text text, campaign text, ad_group text, keyword text, utm_source text, utm_medium text,
    utm_campaign text, utm_content text, utm_term text, ip_address inet, country text, user_agent text,
    browser text, os text, device text)
ORDER BY tenant_id, id
ON CONFLICT DO NOTHING
RETURNING id;
