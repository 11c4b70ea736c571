-- Links belong to a domain: '' stands for the service's own names. A link never moves.
ALTER TABLE links ADD COLUMN domain text NOT NULL DEFAULT '';
ALTER TABLE links ADD CONSTRAINT links_domain_slug_key UNIQUE (domain, slug);
ALTER TABLE links DROP CONSTRAINT links_slug_key;

-- The domains that edges tell from the service's own names: whatever was ever proven. Written by the
-- publisher. tenant_id: whose links it leads to; NULL while it is nobody's.
-- version: drawn anew each time, as from a sequence no number comes twice, also when a transaction fails.
CREATE SEQUENCE edge_domain_versions;
CREATE TABLE edge_domains (
    domain text PRIMARY KEY,
    tenant_id uuid REFERENCES tenants (id),
    version bigint NOT NULL
);
SELECT isolate_by_tenant('edge_domains');
REVOKE INSERT, UPDATE, DELETE ON edge_domains FROM switchyard_api, switchyard_system;
