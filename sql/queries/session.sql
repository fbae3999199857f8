-- name: insert_session
-- Somebody has logged in; sessions that are long over go.
WITH gone AS (
    DELETE FROM web_session WHERE id IN (
        SELECT id FROM web_session WHERE ends_at < %(now)s - interval '1 day'
        ORDER BY ends_at LIMIT 100 FOR UPDATE SKIP LOCKED)
)
INSERT INTO web_session (id, secret, person, role, token_id, begun_at, seen_at, ends_at, recheck_at)
VALUES (%(id)s, %(secret)s, %(person)s, %(role)s, %(token_id)s, %(now)s, %(now)s, %(ends_at)s, %(recheck_at)s);

-- name: session
-- Whose session this is, and whether it is over: by its time, or since somebody ended it, its
-- token or its person. What begins within half a minute of a person's end began by what was ended:
-- a login that was under way had been let in already.
SELECT s.id, s.person, s.role, s.token_id, s.begun_at, s.ends_at,
       coalesce(s.recheck_at <= %(now)s, false) AS to_recheck,
       s.seen_at < %(now)s - interval '1 minute' AS unseen,
       s.ends_at <= %(now)s OR s.seen_at <= %(now)s - %(idle)s AS timed_out,
       s.ended_at IS NOT NULL
       OR EXISTS (SELECT FROM token t WHERE t.id = s.token_id AND t.revoked_at IS NOT NULL)
       OR EXISTS (SELECT FROM person_revoked r WHERE r.person = s.person AND r.at + interval '30 seconds' >= s.begun_at) AS ended
FROM web_session s
WHERE s.secret = %(secret)s;

-- name: see_session
-- It is in use; once a minute is enough to know.
UPDATE web_session SET seen_at = %(now)s WHERE id = %(id)s;

-- name: end_session
-- It opens nothing any more.
UPDATE web_session SET ended_at = %(now)s WHERE secret = %(secret)s AND ended_at IS NULL RETURNING id, person;

-- name: sessions_of
-- Where this person is logged in, the latest in use first; `here` is the session that asks.
SELECT s.id, s.role, s.begun_at, s.seen_at, s.ends_at, s.secret = %(secret)s AS here
FROM web_session s
WHERE s.person = %(person)s AND s.ended_at IS NULL
  AND s.ends_at > %(now)s AND s.seen_at > %(now)s - %(idle)s
  AND NOT EXISTS (SELECT FROM token t WHERE t.id = s.token_id AND t.revoked_at IS NOT NULL)
ORDER BY s.seen_at DESC, s.id DESC LIMIT 100;

-- name: end_sessions_of
-- Those of these sessions that are this person's open nothing any more.
UPDATE web_session SET ended_at = %(now)s
WHERE person = %(person)s AND id = ANY(%(ids)s::uuid[]) AND ended_at IS NULL RETURNING id;
