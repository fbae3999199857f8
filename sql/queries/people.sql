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
INSERT INTO token (id, name, role, scope, issued_at, expires_at)
VALUES (%(id)s, %(name)s, %(role)s, %(scope)s, %(issued_at)s, %(expires_at)s);

-- name: revoke_token
-- It opens nothing any more; one that was issued without us is known from now on.
INSERT INTO token AS t (id, name, role, issued_at, expires_at, revoked_at, revoked_by)
VALUES (%(id)s, '', 'viewer', %(now)s, '9999-01-01', %(now)s, %(actor)s)
ON CONFLICT (id) DO UPDATE SET revoked_at = EXCLUDED.revoked_at, revoked_by = EXCLUDED.revoked_by
WHERE t.revoked_at IS NULL
RETURNING name;

-- name: revoke_person
-- All that this person has opens nothing any more, whoever issued it; how much of it we know.
WITH revoked AS (
    INSERT INTO person_revoked (person, at, actor) VALUES (%(person)s, %(now)s, %(actor)s)
    ON CONFLICT (person) DO UPDATE SET at = EXCLUDED.at, actor = EXCLUDED.actor
), tokens AS (
    UPDATE token SET revoked_at = %(now)s, revoked_by = %(actor)s
    WHERE name = %(person)s AND revoked_at IS NULL AND expires_at > %(now)s RETURNING 1
), sessions AS (
    UPDATE web_session SET ended_at = %(now)s
    WHERE person = %(person)s AND ended_at IS NULL AND ends_at > %(now)s RETURNING 1
)
SELECT (SELECT count(*) FROM tokens) AS tokens, (SELECT count(*) FROM sessions) AS sessions;

-- name: token_used
-- Whether this token was revoked, or all that its person had when it was issued, by clocks that
-- differ by half a minute; when it was last used is known to the minute, and waits for nobody.
WITH used AS (
    UPDATE token SET last_used_at = %(now)s
    WHERE id = (SELECT id FROM token
                WHERE id = %(id)s AND coalesce(last_used_at, '-infinity') < %(now)s - interval '1 minute'
                FOR NO KEY UPDATE SKIP LOCKED)
)
SELECT EXISTS (SELECT FROM token WHERE id = %(id)s AND revoked_at IS NOT NULL)
    OR EXISTS (SELECT FROM person_revoked
               WHERE person = %(person)s AND at + interval '30 seconds' >= %(issued_at)s) AS revoked;

-- name: tokens
-- The tokens that we know of, the newest first.
SELECT * FROM token ORDER BY issued_at DESC, id DESC;

-- name: count_login_failure
-- One more wrong token at the door by this address or name within five minutes; how many, and how
-- long until they are forgotten. Others that are forgotten go.
WITH forgotten AS (
    DELETE FROM login_failure WHERE who IN (
        SELECT who FROM login_failure WHERE since < %(now)s - interval '5 minutes' AND who <> %(who)s
        LIMIT 100 FOR UPDATE SKIP LOCKED)
)
INSERT INTO login_failure AS f (who, since, failures) VALUES (%(who)s, %(now)s, 1)
ON CONFLICT (who) DO UPDATE
SET since = CASE WHEN f.since < %(now)s - interval '5 minutes' THEN %(now)s ELSE f.since END,
    failures = CASE WHEN f.since < %(now)s - interval '5 minutes' THEN 1 ELSE f.failures + 1 END
RETURNING failures, extract(epoch FROM since + interval '5 minutes' - %(now)s)::float AS wait;
