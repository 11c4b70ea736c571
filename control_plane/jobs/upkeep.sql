-- name: trim_journal_ledger(cutoff)!
DELETE FROM journal_ledger WHERE updated_at < :cutoff;

-- name: trim_job_log(cutoff)!
DELETE FROM pgqueuer_log WHERE created < :cutoff;

-- name: trim_job_statistics(cutoff)!
DELETE FROM pgqueuer_statistics WHERE created < :cutoff;

-- name: trim_dead_messages(entrypoint, cutoff)!
DELETE FROM pgqueuer WHERE entrypoint = :entrypoint AND status = 'failed' AND updated < :cutoff;

-- name: trim_salts(cutoff)!
DELETE FROM visitor_salts WHERE day < :cutoff;

-- name: trim_answers(cutoff)!
DELETE FROM idempotency_keys WHERE answer IS NOT NULL AND created_at < :cutoff;
