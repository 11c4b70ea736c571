-- name: insert_entry(tenant_id, id, now, actor_kind, actor_id, credential_id, request_id, ip_address, action, entity_type, entity_id, before, after)!
INSERT INTO audit_log (tenant_id, id, recorded_at, actor_kind, actor_id, credential_id, request_id, ip_address,
                       action, entity_type, entity_id, before, after)
VALUES (:tenant_id, :id, :now, :actor_kind, :actor_id, :credential_id, :request_id, :ip_address::text::inet,
        :action, :entity_type, :entity_id, :before, :after);

-- name: count_entries(tenant_id, entity_type, entity_id, actor_id, action)$
SELECT count(*) FROM audit_log
WHERE tenant_id = :tenant_id
  AND (:entity_type::text IS NULL OR entity_type = :entity_type)
  AND (:entity_id::text IS NULL OR entity_id = :entity_id)
  AND (:actor_id::uuid IS NULL OR actor_id = :actor_id)
  AND (:action::text IS NULL OR action = :action);

-- name: list_entries(tenant_id, entity_type, entity_id, actor_id, action, limit, offset)
SELECT id, recorded_at, actor_kind, actor_id, credential_id, request_id, host(ip_address) AS ip_address,
       action, entity_type, entity_id, before, after
FROM audit_log
WHERE tenant_id = :tenant_id
  AND (:entity_type::text IS NULL OR entity_type = :entity_type)
  AND (:entity_id::text IS NULL OR entity_id = :entity_id)
  AND (:actor_id::uuid IS NULL OR actor_id = :actor_id)
  AND (:action::text IS NULL OR action = :action)
ORDER BY id DESC
LIMIT :limit OFFSET :offset;
