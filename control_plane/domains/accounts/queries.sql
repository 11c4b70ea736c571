-- name: insert_tenant(tenant_id, name, plan_code, now)!
INSERT INTO tenants (id, name, plan_code, created_at)
VALUES (:tenant_id, :name, :plan_code, :now);

-- name: insert_user(tenant_id, user_id, email, now)!
INSERT INTO users (tenant_id, id, email, created_at)
VALUES (:tenant_id, :user_id, :email, :now);

-- name: fetch_account(user_id)^
SELECT u.tenant_id, u.id AS user_id, p.code, p.name, p.api_access, p.api_requests_per_hour
FROM users u
JOIN tenants t ON t.id = u.tenant_id
JOIN plans p ON p.code = t.plan_code
WHERE u.id = :user_id;

-- name: fetch_tenant_number(tenant_id)$
SELECT number FROM tenants WHERE id = :tenant_id;
