-- Quarters of an hour take the place of whole hours; the sums of what is there are made anew.

-- What usage is charged by leaves out what was only fetched ahead.
ALTER TABLE traffic_slots ADD COLUMN prefetches bigint NOT NULL DEFAULT 0;
CREATE INDEX traffic_slots_of_links ON traffic_slots (tenant_id, slot) WHERE subject_kind = 1;

-- Nothing is known of the visitors of clicks that landed before: they have no uniques.
INSERT INTO traffic_slots (
    tenant_id, subject_kind, subject, variant_id, slot, clicks, humans, conversions, human_conversions,
    prefetches)
SELECT tenant_id, 1, link_id, variant_id,
       to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 900000 * 900),
       count(*), count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_conversion),
       count(*) FILTER (WHERE is_conversion AND NOT is_bot), count(*) FILTER (WHERE is_prefetch)
FROM clicks
WHERE link_id IS NOT NULL
GROUP BY 1, 3, 4, 5;
INSERT INTO traffic_days (
    tenant_id, subject_kind, subject, variant_id, day, dimension, value,
    clicks, humans, conversions, human_conversions)
SELECT tenant_id, 1, link_id, variant_id,
       (to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000)
        AT TIME ZONE 'UTC')::date,
       known.dimension, left(known.value, 255),
       count(*), count(*) FILTER (WHERE NOT is_bot), count(*) FILTER (WHERE is_conversion),
       count(*) FILTER (WHERE is_conversion AND NOT is_bot)
FROM clicks
CROSS JOIN LATERAL (VALUES (1::smallint, country), (2, device), (3, browser), (4, os), (5, referrer_domain))
    AS known (dimension, value)
WHERE link_id IS NOT NULL AND known.value <> ''
GROUP BY 1, 3, 4, 5, 6, 7;
DROP TABLE click_hours;
