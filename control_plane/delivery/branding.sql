-- name: fetch_branding(tenant_id)^
SELECT coalesce(branding->>'email_from_name', '') AS from_name,
       coalesce(branding->>'email_reply_to', '') AS reply_to,
       coalesce(branding->>'email_footer_html', '') AS footer_html
FROM tenants
WHERE id = :tenant_id;
