-- name: insert_note
-- What somebody wrote about an incident.
WITH told AS (UPDATE incident SET updates = updates + 1 WHERE id = %(incident_id)s)
INSERT INTO note (id, incident_id, at, actor, body)
VALUES (%(id)s, %(incident_id)s, %(now)s, %(actor)s, %(body)s);

-- name: incident_notes
-- What people wrote about an incident, in order.
SELECT id, at, actor, body FROM note WHERE incident_id = %(id)s ORDER BY at, id;

-- name: lock_request
-- Requests of one caller under one key go one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('responder:request:' || %(key)s || ' of ' || %(caller)s, 0));

-- name: known_request
-- What this caller asked for under this key within a day, and the fix that it gave: at once, or
-- with a second person.
SELECT k.request, k.approval_id, coalesce(k.fix_id, a.fix_id) AS fix_id
FROM idempotency_key k LEFT JOIN approval a ON a.id = k.approval_id
WHERE k.caller = %(caller)s AND k.key = %(key)s AND k.at > %(now)s - interval '1 day';

-- name: remember_request
-- The same request gives the same fix, or the same approval, for a day.
INSERT INTO idempotency_key (caller, key, request, fix_id, approval_id, at)
VALUES (%(caller)s, %(key)s, %(request)s, %(fix_id)s, %(approval_id)s, %(now)s)
ON CONFLICT (caller, key) DO UPDATE
SET request = EXCLUDED.request, fix_id = EXCLUDED.fix_id, approval_id = EXCLUDED.approval_id, at = EXCLUDED.at;

-- name: insert_token
-- A token that was issued; its text is kept nowhere.
INSERT INTO token (id, name, role, issued_at, expires_at)
VALUES (%(id)s, %(name)s, %(role)s, %(issued_at)s, %(expires_at)s);

-- name: revoke_token
-- It opens nothing any more; one that was issued without us is known from now on.
INSERT INTO token AS t (id, name, role, issued_at, expires_at, revoked_at, revoked_by)
VALUES (%(id)s, '', 'viewer', %(now)s, '9999-01-01', %(now)s, %(actor)s)
ON CONFLICT (id) DO UPDATE SET revoked_at = EXCLUDED.revoked_at, revoked_by = EXCLUDED.revoked_by
WHERE t.revoked_at IS NULL
RETURNING name;

-- name: token_revoked
-- Whether this token was revoked.
SELECT EXISTS (SELECT FROM token WHERE id = %(id)s AND revoked_at IS NOT NULL) AS revoked;

-- name: tokens
-- The tokens that we know of, the newest first.
SELECT * FROM token ORDER BY issued_at DESC, id DESC;
