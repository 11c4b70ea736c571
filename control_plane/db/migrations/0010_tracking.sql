-- From the click on: projects, visits, what was bought, and the sums of all that.

-- currency: what amounts without one are in. accepts_tag_sales: whether pages may report checkouts, sales
-- and upsells themselves, which anybody who opens such a page can forge.
-- Of a secret only the SHA-256 is kept; the one before serves until previous_secret_until.
CREATE TABLE projects (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    name text NOT NULL,
    domain text,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'archived')),
    currency text NOT NULL DEFAULT 'USD',
    accepts_tag_sales boolean NOT NULL DEFAULT true,
    secret_hash bytea,
    previous_secret_hash bytea,
    previous_secret_until timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX projects_by_id ON projects (id);
CREATE INDEX projects_by_creation ON projects (tenant_id, created_at DESC, id DESC);
SELECT isolate_by_tenant('projects');

ALTER TABLE links
    ADD COLUMN project_id uuid,
    ADD CONSTRAINT links_project_fkey FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id);
CREATE INDEX links_by_project ON links (tenant_id, project_id) WHERE project_id IS NOT NULL;

-- One table of clicks: of links (with link_id, variant_id, link_version and reason), and of elements on
-- pages (with target_url and the element). click_id: what others call it by, NULL where that is its id.
-- visit_id: as it was reported. visitor_id: 64 bits, salted by the day of the click (UTC).
-- is_unique: the first of its visitor for that link (or project, for elements) on that day, bots or not.
ALTER TABLE clicks
    ALTER COLUMN link_id DROP NOT NULL,
    ALTER COLUMN variant_id DROP NOT NULL,
    ALTER COLUMN link_version DROP NOT NULL,
    ALTER COLUMN reason DROP NOT NULL,
    ADD COLUMN project_id uuid,
    ADD COLUMN visitor_id bigint,
    ADD COLUMN is_unique boolean NOT NULL DEFAULT false,
    ADD COLUMN click_id text,
    ADD COLUMN visit_id text,
    ADD COLUMN target_url text,
    ADD COLUMN element_type text,
    ADD COLUMN element_text text,
    ADD COLUMN campaign text,
    ADD COLUMN ad_group text,
    ADD COLUMN keyword text,
    ADD COLUMN utm_source text,
    ADD COLUMN utm_medium text,
    ADD COLUMN utm_campaign text,
    ADD COLUMN utm_content text,
    ADD COLUMN utm_term text;
CREATE INDEX clicks_by_project ON clicks (tenant_id, project_id, id) WHERE project_id IS NOT NULL;
CREATE INDEX clicks_by_visit ON clicks (tenant_id, visit_id) WHERE visit_id IS NOT NULL;
CREATE INDEX clicks_by_click_id ON clicks (tenant_id, click_id) WHERE click_id IS NOT NULL;

-- Page visits, partitioned as clicks are. click_id: of the click that led there, as the page was told.
-- client_id: what the tag calls the browser, where its visitor agreed to that; else NULL.
CREATE TABLE visits (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    client_id text,
    visitor_id bigint,
    is_unique boolean NOT NULL,
    is_bot boolean NOT NULL,
    bot_reason text,
    verdict_version smallint NOT NULL,
    landed_at timestamptz NOT NULL,
    click_id text,
    landing_url text NOT NULL,
    referrer text,
    referrer_domain text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_content text,
    utm_term text,
    campaign text,
    ad_group text,
    keyword text,
    network text,
    gclid text,
    fbclid text,
    ttclid text,
    ip_address inet,
    country text,
    user_agent text,
    browser text,
    os text,
    device text,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX visits_by_project ON visits (tenant_id, project_id, id);
CREATE INDEX visits_by_click ON visits (tenant_id, click_id) WHERE click_id IS NOT NULL;
CREATE TABLE visits_default PARTITION OF visits DEFAULT;
SELECT isolate_by_tenant('visits');
REVOKE INSERT, UPDATE, DELETE ON visits FROM switchyard_api, switchyard_system;
-- A sale that comes in over the API marks the click that brought it.
GRANT UPDATE (is_conversion) ON clicks TO switchyard_api, switchyard_system;
GRANT UPDATE (conversions) ON click_totals TO switchyard_api, switchyard_system;

-- What visitors did that counts in money, from whichever side it was reported, and at most once.
-- kind: 1 checkout, 2 sale, 3 refund, 4 upsell (edge/contract/events.py).
-- external_id: what the reporter calls it. visit_id, click_id, checkout_id, sale_id, parent_sale_id: what
-- it was said to belong to, in the reporter's words. For a sale, sale_id is NULL.
-- target_id: the conversion that it changes, once that is there: the sale or upsell of a refund, the parent
-- sale of an upsell or of a sale with parent_sale_id.
-- attributed_click: the click that brought it, once that is there; link_id, variant_id: of that click;
-- clicked_at: its moment. counted_at: in which slot it is counted now (that of the click, else its own).
-- waits_for: what has not arrived yet, NULL for nothing; next_look_at: when it is looked for again.
-- status: 'pending' and 'completed' for all kinds, 'abandoned' for checkouts, 'rejected' for what does not
-- count (rejection says why). is_chargeback: a refund that the buyer's bank took back.
-- refunded_minor, upsold_minor: of a sale (refunded_minor of an upsell too): the completed ones. Net revenue
-- of a sale = amount + upsells - refunds of it and of its upsells.
CREATE TABLE conversions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),
    external_id text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'completed', 'abandoned', 'rejected')),
    rejection text,
    is_chargeback boolean NOT NULL DEFAULT false,
    visit_id text,
    click_id text,
    checkout_id text,
    sale_id text,
    parent_sale_id text,
    product_id text,
    offer_id text,
    transaction_id text,
    reason text,
    currency text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    commission_minor bigint NOT NULL DEFAULT 0 CHECK (commission_minor >= 0),
    refunded_minor bigint NOT NULL DEFAULT 0,
    upsold_minor bigint NOT NULL DEFAULT 0,
    source text NOT NULL CHECK (source IN ('tag', 'postback', 'api')),
    target_id uuid,
    attributed_click uuid,
    link_id uuid,
    variant_id uuid,
    clicked_at timestamptz,
    counted_at timestamptz NOT NULL,
    waits_for text CHECK (waits_for IN ('click', 'visit', 'sale')),
    next_look_at timestamptz,
    looks smallint NOT NULL DEFAULT 0,
    landed_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id),
    CHECK (refunded_minor BETWEEN 0 AND amount_minor)
);
CREATE UNIQUE INDEX conversions_once ON conversions (tenant_id, project_id, kind, external_id);
CREATE INDEX conversions_by_kind ON conversions (tenant_id, kind, id);
CREATE INDEX conversions_by_project ON conversions (tenant_id, project_id, kind, id);
CREATE INDEX conversions_by_link ON conversions (tenant_id, link_id, id) WHERE link_id IS NOT NULL;
CREATE INDEX conversions_by_target ON conversions (tenant_id, target_id) WHERE target_id IS NOT NULL;
CREATE INDEX conversions_by_sale ON conversions (tenant_id, project_id, sale_id) WHERE sale_id IS NOT NULL;
CREATE INDEX conversions_by_parent ON conversions (tenant_id, project_id, parent_sale_id)
    WHERE parent_sale_id IS NOT NULL;
CREATE INDEX conversions_by_click ON conversions (tenant_id, attributed_click)
    WHERE attributed_click IS NOT NULL;
CREATE INDEX conversions_waiting ON conversions (next_look_at) WHERE waits_for IS NOT NULL;
SELECT isolate_by_tenant('conversions');

-- Sums over clicks, visits and conversions, written in the transaction that writes the rows.
-- subject: a link, with its variants (kind 1); a project (2) or a campaign of one (3), whose variant_id is
-- the zero id. A campaign's subject is named by control_plane/domains/traffic, which also keeps its name.
-- slot: a quarter of an hour (every time zone's days begin with one). conversions: clicks that converted,
-- in the slot of the click. checkouts, sales and money count in the slot of the click that brought them,
-- or in their own where none did. humans: what is not a bot's.
CREATE TABLE traffic_slots (
    tenant_id uuid NOT NULL,
    subject_kind smallint NOT NULL,
    subject uuid NOT NULL,
    variant_id uuid NOT NULL,
    slot timestamptz NOT NULL,
    clicks bigint NOT NULL DEFAULT 0,
    uniques bigint NOT NULL DEFAULT 0,
    humans bigint NOT NULL DEFAULT 0,
    human_uniques bigint NOT NULL DEFAULT 0,
    conversions bigint NOT NULL DEFAULT 0,
    human_conversions bigint NOT NULL DEFAULT 0,
    visits bigint NOT NULL DEFAULT 0,
    human_visits bigint NOT NULL DEFAULT 0,
    page_clicks bigint NOT NULL DEFAULT 0,
    checkouts bigint NOT NULL DEFAULT 0,
    sales bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, subject_kind, subject, slot, variant_id)
) WITH (fillfactor = 80);
SELECT isolate_by_tenant('traffic_slots');

-- The same by day (UTC) and by what is known of the visitor.
-- dimension: 1 country, 2 device, 3 browser, 4 os, 5 referrer_domain, 6 utm_source, 7 utm_medium,
-- 8 utm_campaign, 9 utm_content, 10 utm_term. Where nothing is known there is no row: the rest to the total.
CREATE TABLE traffic_days (
    tenant_id uuid NOT NULL,
    subject_kind smallint NOT NULL,
    subject uuid NOT NULL,
    variant_id uuid NOT NULL,
    day date NOT NULL,
    dimension smallint NOT NULL,
    value text NOT NULL,
    clicks bigint NOT NULL DEFAULT 0,
    uniques bigint NOT NULL DEFAULT 0,
    humans bigint NOT NULL DEFAULT 0,
    human_uniques bigint NOT NULL DEFAULT 0,
    conversions bigint NOT NULL DEFAULT 0,
    human_conversions bigint NOT NULL DEFAULT 0,
    visits bigint NOT NULL DEFAULT 0,
    human_visits bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, subject_kind, subject, dimension, day, value, variant_id)
) WITH (fillfactor = 80);
SELECT isolate_by_tenant('traffic_days');

-- Money by currency, in minor units. dimension 0, value '': all of the slot. Others are kept by day: their
-- slot is the start of the day (UTC). net = gross + upsold - refunded.
CREATE TABLE revenue_slots (
    tenant_id uuid NOT NULL,
    subject_kind smallint NOT NULL,
    subject uuid NOT NULL,
    variant_id uuid NOT NULL,
    dimension smallint NOT NULL,
    slot timestamptz NOT NULL,
    value text NOT NULL,
    currency text NOT NULL,
    sales bigint NOT NULL DEFAULT 0,
    gross_minor bigint NOT NULL DEFAULT 0,
    upsold_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    commission_minor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, subject_kind, subject, dimension, slot, value, variant_id, currency)
) WITH (fillfactor = 80);
SELECT isolate_by_tenant('revenue_slots');

CREATE TABLE campaigns (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX campaigns_by_project ON campaigns (tenant_id, project_id, name);
SELECT isolate_by_tenant('campaigns');

-- Who was seen already: behind is_unique. subject: a link or a project. Eight tables in turn, by the number
-- of the day (UTC) since 1970, so that old days are forgotten by emptying a table.
CREATE TABLE visitors_seen (
    part smallint NOT NULL,
    subject uuid NOT NULL,
    day date NOT NULL,
    visitor_id bigint NOT NULL,
    PRIMARY KEY (part, subject, day, visitor_id)
) PARTITION BY LIST (part);
DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE visitors_seen_%s PARTITION OF visitors_seen FOR VALUES IN (%s)', part, part);
    END LOOP;
END
$$;

-- What visitors' hashes of a day (UTC) are salted with; deleted after some days, and then nobody can tell.
CREATE TABLE visitor_salts (
    day date PRIMARY KEY,
    salt bytea NOT NULL
);
