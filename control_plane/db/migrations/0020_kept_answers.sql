-- Requests that make more than one thing, or may be refused in part, are answered again as they were.
-- holder_id: the user, or the API key where it acts for its whole tenant.
-- status, answer: what was answered, the answer's data as JSON; NULL where resource_id tells it all.
-- upkeep.py deletes rows with an answer after a day.
ALTER TABLE idempotency_keys RENAME COLUMN user_id TO holder_id;
ALTER TABLE idempotency_keys
    ALTER COLUMN resource_id DROP NOT NULL,
    ADD COLUMN status smallint,
    ADD COLUMN answer bytea;
CREATE INDEX idempotency_keys_with_answer ON idempotency_keys (created_at) WHERE answer IS NOT NULL;
