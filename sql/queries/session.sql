-- name: insert_session
-- Somebody has logged in.
INSERT INTO web_session (id, secret, person, role, token_id, begun_at, seen_at, ends_at)
VALUES (%(id)s, %(secret)s, %(person)s, %(role)s, %(token_id)s, %(now)s, %(now)s, %(now)s + %(longest)s);

-- name: live_session
-- Whose session this is, unless it has ended, was idle for too long, or its token was revoked.
SELECT s.id, s.person, s.role, s.token_id, s.seen_at < %(now)s - interval '1 minute' AS unseen
FROM web_session s
WHERE s.secret = %(secret)s AND s.ended_at IS NULL AND s.ends_at > %(now)s AND s.seen_at > %(now)s - %(idle)s
  AND NOT EXISTS (SELECT FROM token t WHERE t.id = s.token_id AND t.revoked_at IS NOT NULL);

-- name: see_session
-- It is in use; once a minute is enough to know.
UPDATE web_session SET seen_at = %(now)s WHERE id = %(id)s;

-- name: end_session
-- It opens nothing any more.
UPDATE web_session SET ended_at = %(now)s WHERE secret = %(secret)s AND ended_at IS NULL RETURNING id, person;
