-- Drafts for the blog, and what the lists of the tracking API need.

-- blog_approved_at: when the operator let the tenant hand in drafts; NULL: it may not.
ALTER TABLE tenants ADD COLUMN blog_approved_at timestamptz;

-- Text is kept as it was handed in. author: the tenant's name at that time.
CREATE TABLE blog_articles (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    slug text NOT NULL,
    title text NOT NULL,
    excerpt text NOT NULL,
    content text NOT NULL,
    category_slug text,
    author text NOT NULL,
    status text NOT NULL DEFAULT 'draft' CHECK (status = 'draft'),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX blog_articles_by_slug ON blog_articles (tenant_id, slug);
CREATE INDEX blog_articles_by_creation ON blog_articles (tenant_id, created_at);
SELECT isolate_by_tenant('blog_articles');

-- Filters of lists of conversions by what was reported.
CREATE INDEX conversions_by_said_click ON conversions (tenant_id, click_id) WHERE click_id IS NOT NULL;
CREATE INDEX conversions_by_visit ON conversions (tenant_id, visit_id) WHERE visit_id IS NOT NULL;
CREATE INDEX conversions_by_checkout ON conversions (tenant_id, checkout_id) WHERE checkout_id IS NOT NULL;
