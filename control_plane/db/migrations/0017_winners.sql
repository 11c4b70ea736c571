-- Which variant wins: how that is judged, when it was last looked at, and what was decided.

-- auto_winner_goal: what variants are compared by. auto_winner_lag_hours: how long after its click a sale
-- counts, and how old a click must be to count; 0: sales count whenever they come.
-- experiment_version: the version of the link that the present experiment began with; only clicks of it and
-- of later versions count. experiment_started_at: its moment, NULL for that of the link.
ALTER TABLE links
    ADD COLUMN auto_winner_goal text NOT NULL DEFAULT 'conversion_rate'
        CHECK (auto_winner_goal IN ('conversion_rate', 'revenue_per_visitor')),
    ADD COLUMN auto_winner_lag_hours integer NOT NULL DEFAULT 24
        CHECK (auto_winner_lag_hours BETWEEN 0 AND 720),
    ADD COLUMN experiment_version bigint NOT NULL DEFAULT 1,
    ADD COLUMN experiment_started_at timestamptz;
-- When the weights of links that exist were last changed is not known.
UPDATE links SET experiment_version = version, experiment_started_at = now();
CREATE INDEX links_auto_winner ON links (tenant_id, id)
    WHERE auto_winner AND is_active AND routing_type = 'ab_test' AND deleted_at IS NULL;

-- When the rule last looked at a link's experiment, and when it is to look again. counted_until: younger
-- clicks did not count. first_trial_at: of the experiment's first click that counts, NULL before it.
CREATE TABLE experiment_looks (
    tenant_id uuid NOT NULL,
    link_id uuid NOT NULL,
    experiment_version bigint NOT NULL,
    looked_at timestamptz NOT NULL,
    counted_until timestamptz NOT NULL,
    first_trial_at timestamptz,
    next_look_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links (tenant_id, id)
) WITH (fillfactor = 50);
SELECT isolate_by_tenant('experiment_looks');
REVOKE INSERT, UPDATE, DELETE ON experiment_looks FROM switchyard_api, switchyard_system;

-- What was decided of an experiment, at most once each; only ever added to, but for its end and its review.
-- link_version: the version that carries the winner to visitors; NULL without one. reason: 'evidence',
-- 'by_hand', or why there is none. decided_by: the user, NULL for the rule. data: counts, evidence, split and
-- intervals as they were. review: what the data say since, where they no longer bear the decision out.
CREATE TABLE winner_decisions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    link_id uuid NOT NULL,
    experiment_version bigint NOT NULL,
    link_version bigint,
    decided_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('winner', 'no_winner')),
    reason text NOT NULL,
    variant_id uuid,
    variant_label text,
    goal text NOT NULL,
    decided_by uuid,
    data jsonb NOT NULL,
    review jsonb,
    reviewed_at timestamptz,
    reverted_at timestamptz,
    reverted_by uuid,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links (tenant_id, id),
    CHECK ((outcome = 'winner') = (variant_id IS NOT NULL))
);
CREATE UNIQUE INDEX winner_decisions_once ON winner_decisions (tenant_id, link_id, experiment_version);
CREATE INDEX winner_decisions_in_review ON winner_decisions (decided_at)
    WHERE outcome = 'winner' AND decided_by IS NULL AND reverted_at IS NULL;
SELECT isolate_by_tenant('winner_decisions');
REVOKE UPDATE, DELETE ON winner_decisions FROM switchyard_api, switchyard_system;
GRANT UPDATE (reverted_at, reverted_by) ON winner_decisions TO switchyard_api, switchyard_system;

-- The clicks that experiments count, by link: read without the rows themselves.
CREATE INDEX clicks_of_experiments ON clicks (tenant_id, link_id, id) INCLUDE (variant_id, link_version)
    WHERE is_unique AND NOT is_bot AND reason IN (4, 6);

-- The moment in a UUIDv7, in Unix milliseconds.
CREATE FUNCTION id_millis(id uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint
$$;
