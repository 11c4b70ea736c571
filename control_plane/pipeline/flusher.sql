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

-- name: add_to_totals(tenant_ids, link_ids, variant_ids, clicks, bots, prefetches)!
-- In order of key, for the reason that ensure_journals gives.
INSERT INTO click_totals (tenant_id, link_id, variant_id, clicks, bots, prefetches, conversions)
SELECT tenant_id, link_id, variant_id, sum(clicks), sum(bots), sum(prefetches), 0
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:link_ids AS uuid[]), CAST(:variant_ids AS uuid[]),
            CAST(:clicks AS bigint[]), CAST(:bots AS bigint[]), CAST(:prefetches AS bigint[]))
    AS new (tenant_id, link_id, variant_id, clicks, bots, prefetches)
GROUP BY tenant_id, link_id, variant_id
ORDER BY tenant_id, link_id, variant_id
ON CONFLICT (tenant_id, link_id, variant_id) DO UPDATE
SET clicks = click_totals.clicks + excluded.clicks,
    bots = click_totals.bots + excluded.bots,
    prefetches = click_totals.prefetches + excluded.prefetches;

-- name: add_to_slots(tenant_ids, link_ids, variant_ids, slots, clicks, bots, prefetches)!
-- slots: quarters of an hour since 1970.
INSERT INTO traffic_slots AS kept (
    tenant_id, subject_kind, subject, variant_id, slot, clicks, humans, prefetches)
SELECT tenant_id, 1, link_id, variant_id, to_timestamp(slot * 900), clicks, clicks - bots, prefetches
FROM unnest(CAST(:tenant_ids AS uuid[]), CAST(:link_ids AS uuid[]), CAST(:variant_ids AS uuid[]), CAST(:slots AS bigint[]),
            CAST(:clicks AS bigint[]), CAST(:bots AS bigint[]), CAST(:prefetches AS bigint[]))
    AS new (tenant_id, link_id, variant_id, slot, clicks, bots, prefetches)
ORDER BY tenant_id, link_id, slot, variant_id
ON CONFLICT (tenant_id, subject_kind, subject, slot, variant_id) DO UPDATE
SET clicks = kept.clicks + excluded.clicks,
    humans = kept.humans + excluded.humans,
    prefetches = kept.prefetches + excluded.prefetches;
