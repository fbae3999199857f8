-- Logins do not tell upper from lower case, so every statement compares lower(email).

-- name: account
-- Does an account have this address, however it is written, and was it confirmed?
SELECT id, email, created_at, confirmed_at
FROM auth.users
WHERE lower(email) = lower(btrim(%(email)s))
ORDER BY created_at
LIMIT 20;

-- name: roles
-- Which roles has the account?
SELECT r.role, u.email
FROM auth.users u JOIN user_roles r ON r.user_id = u.id
WHERE lower(u.email) = lower(btrim(%(email)s))
ORDER BY r.role;

-- name: assignments
-- Which stores and locations is the account assigned to?
SELECT a.store_key, a.shopify_location_gid, a.region_id
FROM auth.users u JOIN user_shopify_assignments a ON a.user_id = u.id
WHERE lower(u.email) = lower(btrim(%(email)s))
ORDER BY a.store_key
LIMIT 20;

-- name: stores
-- Which stores and locations have others, and how many of them? Nobody counts beyond 10,000.
SELECT store_key, shopify_location_gid, region_id, count(*) AS users
FROM (SELECT * FROM user_shopify_assignments LIMIT 10000) sample
GROUP BY store_key, shopify_location_gid, region_id
ORDER BY users DESC, store_key
LIMIT 20;

-- name: refused
-- Which errors of authentication came in the last hour? Alike but for their numbers is one row.
SELECT message, count(*) AS count, max(created_at) AS last_at
FROM (
    SELECT level, created_at,
        regexp_replace(left(message, 300), '[0-9a-f]{8}-[0-9a-f-]{27}|\d+', '#', 'gi') AS message
    FROM (
        SELECT level, message, created_at FROM system_logs
        WHERE created_at > now() - interval '1 hour'
        ORDER BY created_at DESC
        LIMIT 50000
    ) recent
    WHERE level IN ('error', 'warn') AND message ~* '\mauth|\mtoken|\mjwt|\mlog(ged)? ?in\M'
) alike
GROUP BY message
ORDER BY count DESC
LIMIT 20;

-- name: grant_staff
-- The account gets the staff role.
INSERT INTO user_roles AS granted (user_id, role)
SELECT id, 'staff'::app_role FROM auth.users WHERE lower(email) = lower(btrim(%(email)s))
ON CONFLICT (user_id, role) DO NOTHING
RETURNING granted.user_id AS id, granted.id AS grant_id, granted.role;

-- name: grant_staff_before
-- The account, if it lacks the staff role.
SELECT u.id, NULL::app_role AS role FROM auth.users u
WHERE lower(u.email) = lower(btrim(%(email)s))
    AND NOT EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.id AND r.role = 'staff');

-- name: grant_staff_verify
-- The account has the staff role.
SELECT EXISTS (
    SELECT FROM auth.users u JOIN user_roles r ON r.user_id = u.id
    WHERE lower(u.email) = lower(btrim(%(email)s)) AND r.role = 'staff'
) AS gone;

-- name: grant_staff_undo
-- The account loses the role again, if it still has it from this grant.
DELETE FROM user_roles r
USING jsonb_to_recordset(%(after)s) a (id uuid, grant_id uuid, role app_role)
WHERE r.id = a.grant_id AND r.user_id = a.id AND r.role = a.role
RETURNING r.user_id AS id, NULL::app_role AS role;

-- name: grant_admin
-- The account gets the admin role.
INSERT INTO user_roles AS granted (user_id, role)
SELECT id, 'admin'::app_role FROM auth.users WHERE lower(email) = lower(btrim(%(email)s))
ON CONFLICT (user_id, role) DO NOTHING
RETURNING granted.user_id AS id, granted.id AS grant_id, granted.role;

-- name: grant_admin_before
-- The account, if it lacks the admin role.
SELECT u.id, NULL::app_role AS role FROM auth.users u
WHERE lower(u.email) = lower(btrim(%(email)s))
    AND NOT EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.id AND r.role = 'admin');

-- name: grant_admin_verify
-- The account has the admin role.
SELECT EXISTS (
    SELECT FROM auth.users u JOIN user_roles r ON r.user_id = u.id
    WHERE lower(u.email) = lower(btrim(%(email)s)) AND r.role = 'admin'
) AS gone;

-- name: grant_admin_undo
-- The account loses the role again, if it still has it from this grant.
DELETE FROM user_roles r
USING jsonb_to_recordset(%(after)s) a (id uuid, grant_id uuid, role app_role)
WHERE r.id = a.grant_id AND r.user_id = a.id AND r.role = a.role
RETURNING r.user_id AS id, NULL::app_role AS role;

-- name: assign_store
-- The account gets this store and location; a number alone is a location's.
INSERT INTO user_shopify_assignments AS assigned (user_id, store_key, shopify_location_gid)
SELECT u.id, btrim(%(store_key)s),
    regexp_replace(btrim(%(location)s), '^(\d+)$', 'gid://shopify/Location/\1')
FROM auth.users u
WHERE lower(u.email) = lower(btrim(%(email)s))
    AND NOT EXISTS (
        SELECT FROM user_shopify_assignments a
        WHERE a.user_id = u.id AND a.store_key = btrim(%(store_key)s) AND a.shopify_location_gid
            = regexp_replace(btrim(%(location)s), '^(\d+)$', 'gid://shopify/Location/\1')
    )
RETURNING assigned.user_id AS id, assigned.id AS assignment_id, assigned.store_key,
    assigned.shopify_location_gid, assigned.region_id;

-- name: assign_store_before
-- The account, if it lacks this store and location.
SELECT u.id, NULL::text AS store_key, NULL::text AS shopify_location_gid FROM auth.users u
WHERE lower(u.email) = lower(btrim(%(email)s))
    AND NOT EXISTS (
        SELECT FROM user_shopify_assignments a
        WHERE a.user_id = u.id AND a.store_key = btrim(%(store_key)s) AND a.shopify_location_gid
            = regexp_replace(btrim(%(location)s), '^(\d+)$', 'gid://shopify/Location/\1')
    );

-- name: assign_store_verify
-- The account has this store and location, and the location is one of Shopify's.
SELECT EXISTS (
    SELECT FROM auth.users u JOIN user_shopify_assignments a ON a.user_id = u.id
    WHERE lower(u.email) = lower(btrim(%(email)s)) AND a.store_key = btrim(%(store_key)s)
        AND a.shopify_location_gid ~ '^gid://shopify/Location/\d+$' AND a.shopify_location_gid
            = regexp_replace(btrim(%(location)s), '^(\d+)$', 'gid://shopify/Location/\1')
) AS gone;

-- name: assign_store_undo
-- The assignment is gone again, if it is still as it was made.
DELETE FROM user_shopify_assignments s
USING jsonb_to_recordset(%(after)s)
    a (id uuid, assignment_id uuid, store_key text, shopify_location_gid text, region_id text)
WHERE s.id = a.assignment_id AND s.user_id = a.id AND s.store_key = a.store_key
    AND s.shopify_location_gid = a.shopify_location_gid AND s.region_id IS NOT DISTINCT FROM a.region_id
RETURNING s.user_id AS id, NULL::text AS store_key, NULL::text AS shopify_location_gid;
