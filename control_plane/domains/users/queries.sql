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
