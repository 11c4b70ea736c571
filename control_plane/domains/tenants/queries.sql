-- name: insert_tenant(tenant_id, slug, name, kind, plan_code, contact_name, contact_email, contact_phone, max_users, max_campaigns, now)$
-- Gives nothing when another tenant has the slug.
INSERT INTO tenants (id, slug, name, kind, plan_code, contact_name, contact_email, contact_phone,
                     max_users, max_campaigns, created_at, updated_at)
VALUES (:tenant_id, :slug, :name, :kind, :plan_code, :contact_name, :contact_email, :contact_phone,
        :max_users, :max_campaigns, :now, :now)
ON CONFLICT (slug) DO NOTHING
RETURNING id;

-- name: fetch_tenant(tenant_id)^
SELECT t.id, t.number, t.slug, t.name, t.kind, t.status, t.plan_code, t.contact_name, t.contact_email,
       t.contact_phone, t.billing_email, t.allowed_origins, t.max_users, t.max_campaigns, t.event_retention_days,
       t.max_storage_gb, t.monthly_render_qty, t.trial_ends_at, t.created_at, t.updated_at,
       (SELECT d.domain FROM custom_domains d
        WHERE d.tenant_id = t.id AND d.status = 'verified'
        ORDER BY d.verified_at, d.id LIMIT 1) AS custom_domain
FROM tenants t
WHERE t.id = :tenant_id;

-- name: list_tenants(limit, offset)
SELECT t.id, t.number, t.slug, t.name, t.kind, t.status, t.plan_code, t.contact_name, t.contact_email,
       t.contact_phone, t.billing_email, t.allowed_origins, t.max_users, t.max_campaigns, t.event_retention_days,
       t.max_storage_gb, t.monthly_render_qty, t.trial_ends_at, t.created_at, t.updated_at,
       (SELECT d.domain FROM custom_domains d
        WHERE d.tenant_id = t.id AND d.status = 'verified'
        ORDER BY d.verified_at, d.id LIMIT 1) AS custom_domain
FROM tenants t
ORDER BY t.number DESC
LIMIT :limit OFFSET :offset;

-- name: count_tenants()$
SELECT count(*) FROM tenants;

-- name: find_id_by_slug(slug)$
SELECT id FROM tenants WHERE slug = :slug AND status IN ('Active', 'Trial');

-- name: find_id_by_domain(domain)$
SELECT t.id FROM custom_domains d
JOIN tenants t ON t.id = d.tenant_id
WHERE d.domain = :domain AND d.status = 'verified' AND t.status IN ('Active', 'Trial');

-- name: find_id(slug, domain)$
-- Whatever its status, by its slug or by a domain that it has proven.
SELECT id FROM tenants WHERE slug = :slug
UNION ALL
SELECT tenant_id FROM custom_domains WHERE domain = :domain AND status = 'verified'
LIMIT 1;

-- name: find_id_by_number(number)$
SELECT id FROM tenants WHERE number = :number;

-- name: lock_tenant(tenant_id)$
-- One after the other: who changes which users a tenant has, and what they may do.
-- A weaker lock than FOR UPDATE, so that rows which refer to the tenant can be added meanwhile.
SELECT id FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE;

-- name: update_tenant(tenant_id, name, status, plan_code, contact_name, contact_email, contact_phone, billing_email, allowed_origins, max_users, max_campaigns, event_retention_days, now)!
UPDATE tenants
SET name = :name, status = :status, plan_code = :plan_code, contact_name = :contact_name,
    contact_email = :contact_email, contact_phone = :contact_phone, billing_email = :billing_email,
    allowed_origins = :allowed_origins, max_users = :max_users, max_campaigns = :max_campaigns,
    event_retention_days = :event_retention_days, updated_at = :now
WHERE id = :tenant_id;

-- name: restart_retention(tenant_id)!
DELETE FROM retention_marks WHERE tenant_id = :tenant_id;

-- name: fetch_branding(tenant_id)$
SELECT branding FROM tenants WHERE id = :tenant_id;

-- name: update_branding(tenant_id, branding, now)!
UPDATE tenants SET branding = :branding, updated_at = :now WHERE id = :tenant_id;

-- name: list_plan_codes()
SELECT code FROM plans ORDER BY code;

-- name: count_seats(tenant_id)^
SELECT t.max_users, (SELECT count(*) FROM users u WHERE u.tenant_id = t.id AND u.deleted_at IS NULL) AS taken
FROM tenants t
WHERE t.id = :tenant_id;
