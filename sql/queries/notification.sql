-- name: insert_notification
-- One message to one receiver, to be sent when it is due.
INSERT INTO notification (id, incident_id, key, receiver, happening, page, status, document, created_at, due_at)
VALUES (%(id)s, %(incident_id)s, %(key)s, %(receiver)s, %(happening)s, %(page)s, 'due', %(document)s,
        clock_timestamp(), %(due_at)s);

-- name: waiting_update
-- A message of this kind that is still to leave will carry the news, at the earlier of both times.
UPDATE notification
SET due_at = CASE WHEN attempts = 0 THEN least(due_at, %(due_at)s) ELSE due_at END
WHERE incident_id = %(incident_id)s AND receiver = %(receiver)s AND happening = %(happening)s
  AND status = 'due' AND page = %(page)s
RETURNING id;

-- name: last_page
-- When people were, or are about to be, woken for this incident.
SELECT max(coalesce(sent_at, due_at)) AS at FROM notification
WHERE incident_id = %(incident_id)s AND page AND happening = 'opened'
  AND status IN ('due', 'sending', 'sent');

-- name: supersede_pages
-- Pages that wait for the end of a flap window; one that is due now leaves in any case.
UPDATE notification SET status = 'superseded'
WHERE incident_id = %(incident_id)s AND page AND happening = 'opened' AND status = 'due'
  AND attempts = 0 AND due_at > %(now)s + interval '2 s'
RETURNING receiver, happening, page;

-- name: told
-- Whether this receiver was told, or is about to be, that the incident is open.
SELECT EXISTS (SELECT FROM notification
               WHERE incident_id = %(incident_id)s AND receiver = %(receiver)s AND happening = 'opened'
                 AND status IN ('due', 'sending', 'sent')) AS told;

-- name: adopt_bare_pages
-- Pages that left before their incident was known belong to it now.
UPDATE notification SET incident_id = %(incident_id)s
WHERE key = %(key)s AND incident_id IS NULL AND created_at > %(now)s - interval '10 minutes'
RETURNING receiver, due_at, sent_at;

-- name: bare_page_exists
-- A bare page of this key is on its way already.
SELECT EXISTS (SELECT FROM notification WHERE key = %(key)s AND receiver = %(receiver)s
               AND page AND created_at > %(now)s - interval '5 minutes') AS there;

-- name: hasten_pages
-- The diagnosis is there: its page leaves now.
UPDATE notification SET due_at = %(now)s
WHERE incident_id = %(incident_id)s AND page AND status = 'due' AND happening = 'opened'
  AND attempts = 0 AND due_at > %(now)s AND due_at < %(now)s + interval '2 s';

-- name: claim_notifications
-- Due messages under a lease, P0 first; one receiver hears of an incident in order.
UPDATE notification n
SET status = 'sending', attempts = n.attempts + 1, lease_until = %(now)s + %(lease)s::interval
FROM (
    SELECT d.id FROM notification d LEFT JOIN incident i ON i.id = d.incident_id
    WHERE d.status IN ('due', 'sending') AND d.page = %(page)s
      AND CASE WHEN d.status = 'due' THEN d.due_at ELSE d.lease_until END <= %(now)s
      AND NOT EXISTS (
          SELECT FROM notification e
          WHERE e.incident_id = d.incident_id AND e.receiver = d.receiver AND (e.created_at, e.id) < (d.created_at, d.id)
            AND e.status IN ('due', 'sending'))
    ORDER BY i.severity NULLS FIRST, d.due_at
    LIMIT %(limit)s
    FOR UPDATE OF d SKIP LOCKED) due
WHERE n.id = due.id
RETURNING n.id, n.incident_id, n.key, n.receiver, n.happening, n.page, n.document, n.attempts, n.due_at;

-- name: notification_sent
-- The receiver has it.
UPDATE notification
SET status = 'sent', sent_at = %(now)s, lease_until = NULL, error = '', document = %(document)s
WHERE id = %(id)s AND status = 'sending' AND attempts = %(attempts)s;

-- name: notification_failed
-- Try again at that time, or never.
UPDATE notification
SET status = CASE WHEN %(dead)s THEN 'dead' ELSE 'due' END, due_at = %(due_at)s, lease_until = NULL,
    error = %(error)s
WHERE id = %(id)s AND status = 'sending' AND attempts = %(attempts)s;

-- name: incident_notifications
-- The messages about an incident.
SELECT id, receiver, happening, page, status, created_at, due_at, sent_at, attempts, error
FROM notification WHERE incident_id = %(id)s ORDER BY id;
