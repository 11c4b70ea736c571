-- name: insert_user(tenant_id, user_id, email, phone_number, password_hash, full_name, role, is_superadmin, register_mode, language, affiliate_code, email_verified_at, phone_verified_at, terms_accepted_at, now)$
-- Gives nothing when the address or the number belongs to another user.
INSERT INTO users (tenant_id, id, email, phone_number, password_hash, password_changed_at, full_name, role,
                   is_superadmin, register_mode, language, affiliate_code, email_verified_at,
                   phone_verified_at, terms_accepted_at, created_at, updated_at)
VALUES (:tenant_id, :user_id, :email, :phone_number, :password_hash,
        CASE WHEN :password_hash::text IS NULL THEN NULL ELSE :now::timestamptz END,
        :full_name, :role, :is_superadmin, :register_mode, :language, :affiliate_code,
        :email_verified_at, :phone_verified_at, :terms_accepted_at, :now, :now)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: fetch_user(tenant_id, user_id)^
SELECT tenant_id, id, number, email, email_verified_at, phone_number, phone_verified_at,
       password_hash IS NOT NULL AS has_password, role, is_superadmin, is_active, register_mode, language,
       full_name, avatar_id, avatar_url, slogan, about_me, company_name, website_name, birth_date, gender,
       email_tell_me, sms_tell_me, push_tell_me, telegram_tell_me, balance_minor, affiliate_balance_minor,
       currency, loyalty_score, used_storage_bytes, last_active_at, banned_at, banned_until,
       created_at, updated_at
FROM users
WHERE tenant_id = :tenant_id AND id = :user_id AND deleted_at IS NULL;

-- name: find_by_email(tenant_id, email)^
SELECT tenant_id, id, number, email, email_verified_at, phone_number, phone_verified_at,
       password_hash IS NOT NULL AS has_password, role, is_superadmin, is_active, register_mode, language,
       full_name, avatar_id, avatar_url, slogan, about_me, company_name, website_name, birth_date, gender,
       email_tell_me, sms_tell_me, push_tell_me, telegram_tell_me, balance_minor, affiliate_balance_minor,
       currency, loyalty_score, used_storage_bytes, last_active_at, banned_at, banned_until,
       created_at, updated_at
FROM users
WHERE tenant_id = :tenant_id AND email_key = lower(:email) AND deleted_at IS NULL;

-- name: find_by_phone(tenant_id, phone_number)^
SELECT tenant_id, id, number, email, email_verified_at, phone_number, phone_verified_at,
       password_hash IS NOT NULL AS has_password, role, is_superadmin, is_active, register_mode, language,
       full_name, avatar_id, avatar_url, slogan, about_me, company_name, website_name, birth_date, gender,
       email_tell_me, sms_tell_me, push_tell_me, telegram_tell_me, balance_minor, affiliate_balance_minor,
       currency, loyalty_score, used_storage_bytes, last_active_at, banned_at, banned_until,
       created_at, updated_at
FROM users
WHERE tenant_id = :tenant_id AND phone_number = :phone_number AND deleted_at IS NULL;

-- name: find_tenant(user_id)$
SELECT tenant_id FROM users WHERE id = :user_id AND deleted_at IS NULL;

-- name: find_id_by_number(tenant_id, number)$
SELECT id FROM users WHERE tenant_id = :tenant_id AND number = :number AND deleted_at IS NULL;

-- name: list_users(tenant_id, text, role, is_active, limit, offset)
-- Newest first. text: part of an address, a name or a number, whatever its case. NULL: all of them.
SELECT tenant_id, id, number, email, email_verified_at, phone_number, phone_verified_at,
       password_hash IS NOT NULL AS has_password, role, is_superadmin, is_active, register_mode, language,
       full_name, avatar_id, avatar_url, slogan, about_me, company_name, website_name, birth_date, gender,
       email_tell_me, sms_tell_me, push_tell_me, telegram_tell_me, balance_minor, affiliate_balance_minor,
       currency, loyalty_score, used_storage_bytes, last_active_at, banned_at, banned_until,
       created_at, updated_at
FROM users
WHERE (CAST(:tenant_id AS uuid) IS NULL OR tenant_id = :tenant_id)
  AND (CAST(:text AS text) IS NULL
       OR strpos(email_key, lower(:text)) > 0
       OR strpos(lower(full_name), lower(:text)) > 0
       OR strpos(phone_number, :text) > 0)
  AND (CAST(:role AS text) IS NULL OR role = :role)
  AND (CAST(:is_active AS boolean) IS NULL OR is_active = :is_active)
  AND deleted_at IS NULL
ORDER BY created_at DESC, id DESC
LIMIT :limit OFFSET :offset;

-- name: count_users(tenant_id, text, role, is_active)$
SELECT count(*)
FROM users
WHERE (CAST(:tenant_id AS uuid) IS NULL OR tenant_id = :tenant_id)
  AND (CAST(:text AS text) IS NULL
       OR strpos(email_key, lower(:text)) > 0
       OR strpos(lower(full_name), lower(:text)) > 0
       OR strpos(phone_number, :text) > 0)
  AND (CAST(:role AS text) IS NULL OR role = :role)
  AND (CAST(:is_active AS boolean) IS NULL OR is_active = :is_active)
  AND deleted_at IS NULL;

-- name: count_other_admins(tenant_id, user_id, now)$
-- Those who could look after the tenant in this one's place.
SELECT count(*)
FROM users
WHERE tenant_id = :tenant_id AND id <> :user_id AND role = 'admin' AND is_active AND deleted_at IS NULL
  AND (banned_at IS NULL OR banned_until <= :now);

-- name: lock_user(tenant_id, user_id)$
SELECT id FROM users WHERE tenant_id = :tenant_id AND id = :user_id AND deleted_at IS NULL
FOR NO KEY UPDATE;

-- name: update_profile(tenant_id, user_id, full_name, avatar_id, avatar_url, slogan, about_me, company_name, website_name, birth_date, gender, email_tell_me, sms_tell_me, push_tell_me, telegram_tell_me, now)!
UPDATE users
SET full_name = :full_name, avatar_id = :avatar_id, avatar_url = :avatar_url, slogan = :slogan,
    about_me = :about_me, company_name = :company_name, website_name = :website_name,
    birth_date = :birth_date, gender = :gender, email_tell_me = :email_tell_me,
    sms_tell_me = :sms_tell_me, push_tell_me = :push_tell_me, telegram_tell_me = :telegram_tell_me,
    updated_at = :now
WHERE tenant_id = :tenant_id AND id = :user_id;

-- name: update_member(tenant_id, user_id, email, email_verified_at, full_name, role, is_active, now)$
UPDATE users
SET email = :email, email_verified_at = :email_verified_at, full_name = :full_name, role = :role,
    is_active = :is_active, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :user_id
RETURNING id;

-- name: set_password(tenant_id, user_id, password_hash, now)!
UPDATE users
SET password_hash = :password_hash, password_changed_at = :now, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :user_id;

-- name: set_ban(tenant_id, user_id, banned_at, banned_until, reason, now)!
UPDATE users
SET banned_at = :banned_at, banned_until = :banned_until, ban_reason = :reason, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :user_id;

-- name: delete_user(tenant_id, user_id, now)!
UPDATE users
SET deleted_at = :now, is_active = false, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :user_id;

-- name: delete_ties(tenant_id, user_id)!
-- Who they are elsewhere, and where they are reached: a deleted user's must not stand in anybody's way.
WITH subscriptions AS (
    DELETE FROM push_subscriptions WHERE tenant_id = :tenant_id AND user_id = :user_id
)
DELETE FROM federated_identities WHERE tenant_id = :tenant_id AND user_id = :user_id;
