-- name: ensure_month_partition(parent, moment)$
SELECT ensure_month_partition(:parent, :moment);

-- name: list_month_partitions(parent)
SELECT child.relname
FROM pg_inherits
JOIN pg_class child ON child.oid = pg_inherits.inhrelid
WHERE pg_inherits.inhparent = CAST(CAST(:parent AS text) AS regclass)
  AND child.relname ~ '_[0-9]{6}$'
ORDER BY child.relname;

-- name: trim_default_clicks(cutoff)!
DELETE FROM clicks_default WHERE id < uuid_floor(:cutoff);

-- name: trim_default_visits(cutoff)!
DELETE FROM visits_default WHERE id < uuid_floor(:cutoff);
