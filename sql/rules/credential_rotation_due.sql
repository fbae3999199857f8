-- The same statements stand in credential_leak_suspected.sql (a test compares them).

-- name: credentials
-- How old is each credential? Names and times, never a value; what the runbook names and nobody
-- has written down has no time, and is due.
SELECT coalesce(named.name, written.key) AS name, coalesce(named.kept, 'elsewhere') AS kept,
    written.updated_at AS rotated_at,
    floor(extract(epoch FROM now() - written.updated_at) / 86400)::int AS days,
    coalesce(written.updated_at <= now() - interval '90 days', true) AS due,
    coalesce(written.updated_at > now() - interval '1 day', false) AS fresh
FROM (VALUES
    ('SHOPIFY_STORE_KEY', 'shopify'),
    ('SHOPIFY_ACCESS_TOKEN', 'shopify'),
    ('SHOPIFY_SHARED_SECRET', 'shopify'),
    ('JUSTTCG_API_KEY', 'functions'),
    ('PSA_PUBLIC_API_TOKEN', 'functions'),
    ('DATABASE_PASSWORD', 'database')
) named (name, kept)
FULL JOIN (
    SELECT key, updated_at FROM system_settings WHERE key ~ '(^|_)(KEY|TOKEN|SECRET|PASSWORD)$'
) written ON written.key = named.name
ORDER BY written.updated_at NULLS FIRST, name
LIMIT 100;

-- name: login
-- Does the login work, over a connection of its own? Who are we, and where?
SELECT current_user AS login, current_database() AS database;

-- name: auth_errors
-- Which authentication errors came in the last hour? The 20 newest, and how many there are. CASE:
-- else the words are tried on every line before its level is looked at.
SELECT created_at, left(message, 300) AS message, context ->> 'function' AS function,
    count(*) OVER () AS in_all
FROM (
    SELECT level, message, context, created_at FROM system_logs
    WHERE created_at > now() - interval '1 hour'
    ORDER BY created_at DESC
    LIMIT 50000
) recent
WHERE CASE WHEN level = 'error' THEN
    message ~* ('\m(un)?auth(enticat\w*|ori[sz]\w*)?\M|\m40[13]\M|\mforbidden\M'
        '|\minvalid (api |access )?(key|token|credential|password|signature)'
        '|\m(key|token|credential|password|secret)s? (is |has |was )?(expired|revoked|wrong)\M')
END
ORDER BY created_at DESC
LIMIT 20;
