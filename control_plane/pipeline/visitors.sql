-- name: draw_salts(days, salts)!
INSERT INTO visitor_salts (day, salt)
SELECT * FROM unnest(CAST(:days AS date[]), CAST(:salts AS bytea[])) AS new (day, salt) ORDER BY day
ON CONFLICT (day) DO NOTHING;

-- name: list_salts(days)
SELECT day, salt FROM visitor_salts WHERE day = ANY(CAST(:days AS date[]));

-- name: mark_seen(parts, subjects, days, visitor_ids)
INSERT INTO visitors_seen (part, subject, day, visitor_id)
SELECT *
FROM unnest(CAST(:parts AS smallint[]), CAST(:subjects AS uuid[]), CAST(:days AS date[]),
            CAST(:visitor_ids AS bigint[])) AS new (part, subject, day, visitor_id)
ON CONFLICT DO NOTHING
RETURNING day, subject, visitor_id;
