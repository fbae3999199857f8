-- name: insert_notifications
-- Messages, each to one receiver, to be sent when it is due.
INSERT INTO notification (id, incident_id, key, receiver, happening, page, status, document, created_at, due_at,
                          round, beyond)
SELECT n.id, n.incident_id, n.key, n.receiver, n.happening, n.page, 'due', n.document, clock_timestamp(), n.due_at,
       n.round, n.beyond
FROM jsonb_to_recordset(%(rows)s) AS n (
    id uuid, incident_id uuid, key text, receiver text, happening text, page boolean, document jsonb, due_at
    timestamptz, round int, beyond boolean);

-- name: insert_sent_page
-- A page that left while our database was away; it belongs to the incident that is open now, if any.
INSERT INTO notification (id, incident_id, key, receiver, happening, page, status, document, created_at,
                          due_at, attempts, sent_at)
VALUES (%(id)s, (SELECT id FROM incident WHERE key = %(key)s AND status <> 'resolved'), %(key)s, %(receiver)s,
        'opened', true, 'sent', %(document)s, clock_timestamp(), %(now)s, 1, %(now)s)
ON CONFLICT DO NOTHING;

-- name: lock_page
-- Who writes of a key's pages does so after the other: a triage, and what left without our database.
SELECT pg_advisory_xact_lock(hashtextextended('responder:page:' || %(key)s, 0));

-- name: share_incident
-- The open incident of a key, before the lock of its pages, as everybody does.
SELECT FROM incident WHERE key = %(key)s AND status <> 'resolved' FOR KEY SHARE;

-- name: supersede_bare
-- What waits for the same people of the same key is told already, also what is as bare.
UPDATE notification SET status = 'superseded'
WHERE key = %(key)s AND receiver = %(receiver)s AND page AND happening = 'opened'
  AND (status = 'due' AND attempts = 0 OR status = 'sending' AND lease_until < %(now)s);

-- name: drop_bare_pages
-- Nobody is woken for what a maintenance window keeps back.
UPDATE notification SET status = 'superseded'
WHERE key = %(key)s AND page AND incident_id IS NULL AND happening = 'opened' AND status = 'due' AND attempts = 0
RETURNING id, receiver;

-- name: owed_pages
-- Of these deliveries and keys the ones that are not triaged (also because a failover lost them) and were not
-- told just now, or whose page should have left, or is to leave in a moment.
SELECT k.delivery_id
FROM unnest(%(deliveries)s::uuid[], %(keys)s::text[]) AS k (delivery_id, key)
WHERE NOT EXISTS (SELECT FROM delivery d WHERE d.id = k.delivery_id AND d.triaged_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM notification n WHERE n.key = k.key AND n.page AND n.happening = 'opened'
                      AND (n.status = 'sent' OR n.summary_id IS NOT NULL)
                      AND n.created_at > %(now)s - interval '5 minutes')
   OR EXISTS (SELECT FROM notification n WHERE n.key = k.key AND n.page AND n.happening = 'opened'
              AND n.status IN ('due', 'sending') AND n.attempts < 2
              AND n.due_at <= %(now)s + interval '3 s');

-- name: insert_fallback
-- The same page to somebody else, once for each page that its receiver did not take, and never to
-- who did not take it before.
WITH RECURSIVE refused AS (
    SELECT n.id, n.receiver, n.fallback_of FROM notification n WHERE n.id = %(page_id)s
    UNION ALL
    SELECT n.id, n.receiver, n.fallback_of FROM notification n JOIN refused r ON n.id = r.fallback_of
)
INSERT INTO notification (id, incident_id, key, receiver, happening, page, status, document, created_at,
                          due_at, fallback_of)
SELECT %(id)s, n.incident_id, n.key, %(receiver)s, n.happening, true, 'due', n.document, clock_timestamp(),
       %(now)s, n.id
FROM notification n
WHERE n.id = %(page_id)s
  AND NOT EXISTS (SELECT FROM refused r WHERE r.receiver = %(receiver)s)
  AND NOT EXISTS (SELECT FROM notification f WHERE f.fallback_of = n.id AND f.receiver = %(receiver)s);

-- name: pages_behind_open_circuits
-- Due pages whose receiver is left alone for now, and that have not fallen back yet.
SELECT n.id, n.incident_id, n.key, n.receiver, n.happening, n.page, n.attempts, n.document, r.open_until
FROM notification n JOIN receiver r ON r.name = n.receiver
WHERE n.page AND n.status = 'due' AND n.due_at <= %(now)s AND n.happening = 'opened'
  AND r.open_until > %(now)s
  AND NOT EXISTS (SELECT FROM notification f WHERE f.fallback_of = n.id)
LIMIT 100
FOR UPDATE OF n SKIP LOCKED;

-- name: waiting_update
-- A message of this kind that is still to leave will carry the news, at the earlier of both times;
-- who is not woken yet needs no other key, and each key has an end of its own.
UPDATE notification
SET due_at = CASE WHEN attempts = 0 THEN least(due_at, %(due_at)s) ELSE due_at END
WHERE incident_id = %(incident_id)s AND receiver = %(receiver)s AND happening = %(happening)s
  AND status = 'due' AND page = %(page)s AND (round = %(round)s OR happening = 'opened')
RETURNING id;

-- name: last_page
-- When people were, or are about to be, woken for this incident.
SELECT max(coalesce(sent_at, due_at)) AS at FROM notification
WHERE incident_id = %(incident_id)s AND page AND happening = 'opened'
  AND status IN ('due', 'sending', 'sent');

-- name: supersede_pages
-- Pages that wait for the end of a flap window, or go beyond the first; a first one that is due now
-- leaves in any case.
UPDATE notification SET status = 'superseded'
WHERE incident_id = %(incident_id)s AND page AND happening = 'opened' AND status = 'due'
  AND attempts = 0 AND (beyond OR due_at > %(now)s + interval '2 s')
RETURNING receiver, happening, page;

-- name: drop_untrue
-- Nobody has heard that it was taken or is over, and now that is not so any more.
UPDATE notification SET status = 'superseded'
WHERE incident_id = %(incident_id)s AND happening IN ('acknowledged', 'resolved') AND status = 'due' AND NOT repeated
RETURNING receiver, happening, page;

-- name: woken_receivers
-- Who was told by a page, or is about to be, that the incident is open, and under which keys.
SELECT DISTINCT receiver, round FROM notification
WHERE incident_id = %(incident_id)s AND page AND happening = 'opened' AND status IN ('due', 'sending', 'sent')
ORDER BY receiver, round;

-- name: last_rounds
-- Under which of an incident's keys each receiver was woken last.
SELECT receiver, max(round) AS round FROM notification
WHERE incident_id = %(id)s AND page AND happening = 'opened' AND status IN ('due', 'sending', 'sent')
GROUP BY receiver;

-- name: adopt_bare_pages
-- Pages that left before their incident was known belong to it now, unless their end was told.
UPDATE notification n SET incident_id = %(incident_id)s
WHERE n.key = %(key)s AND n.incident_id IS NULL AND n.happening = 'opened'
  AND n.created_at > %(now)s - interval '10 minutes'
  AND NOT EXISTS (SELECT FROM notification r WHERE r.key = n.key AND r.receiver = n.receiver
                  AND r.happening = 'resolved' AND r.created_at > n.created_at)
RETURNING n.receiver, n.due_at, n.sent_at;

-- name: is_woken
-- A page of this key is on its way already, or left for its open incident, which is no less severe.
SELECT EXISTS (SELECT FROM notification WHERE key = %(key)s AND receiver = %(receiver)s
               AND page AND happening = 'opened' AND created_at > %(now)s - interval '5 minutes')
    OR EXISTS (SELECT FROM incident i JOIN notification n ON n.incident_id = i.id
               WHERE i.key = %(key)s AND i.status <> 'resolved' AND i.severity <= %(severity)s
                 AND n.receiver = %(receiver)s AND n.page AND n.happening = 'opened'
                 AND (n.status IN ('due', 'sending', 'sent') OR n.summary_id IS NOT NULL)) AS there;

-- name: open_bare_pages
-- Pages of this key that have no incident, and whose end was not told.
SELECT n.receiver, n.document FROM notification n
WHERE n.key = %(key)s AND n.incident_id IS NULL AND n.page AND n.happening = 'opened'
  AND n.status IN ('due', 'sending', 'sent') AND n.created_at > %(now)s - interval '7 days'
  AND NOT EXISTS (SELECT FROM notification r WHERE r.key = n.key AND r.receiver = n.receiver
                  AND r.happening = 'resolved' AND r.created_at > n.created_at);

-- name: hasten_pages
-- The diagnosis is there: its page leaves now.
UPDATE notification SET due_at = %(now)s
WHERE incident_id = %(incident_id)s AND page AND status = 'due' AND happening = 'opened'
  AND attempts = 0 AND due_at > %(now)s AND due_at < %(now)s + interval '2 s';

-- name: crowded_receivers
-- How many messages wait for each receiver, how many it got in the last minute, and its last summary.
-- Who was woken hears the end of each in any case, or a pager would go on for ever.
SELECT d.receiver, d.due,
       (SELECT count(*) FROM notification n
        WHERE n.receiver = d.receiver AND n.happening <> 'summary'
          AND n.status = 'sent' AND n.sent_at > %(now)s - interval '1 minute')
       + (SELECT count(*) FROM notification n
          WHERE n.receiver = d.receiver AND n.happening <> 'summary' AND n.status = 'sending') AS used,
       greatest(
           (SELECT max(n.sent_at) FROM notification n
            WHERE n.receiver = d.receiver AND n.happening = 'summary'
              AND n.status = 'sent' AND n.sent_at > %(now)s - interval '1 minute'),
           (SELECT max(n.due_at) FROM notification n
            WHERE n.receiver = d.receiver AND n.happening = 'summary' AND n.status IN ('due', 'sending'))
       ) AS last_summary
FROM (SELECT receiver, count(*) AS due FROM notification
      WHERE status = 'due' AND page = %(page)s AND due_at <= %(now)s AND happening <> 'summary'
        AND NOT (page AND happening IN ('acknowledged', 'resolved'))
      GROUP BY receiver HAVING count(*) > 1) d;

-- name: lock_crowd
-- What one summary would stand for: all that waits for a receiver but the gravest; what somebody
-- else has in hand is theirs.
SELECT n.id
FROM notification n LEFT JOIN incident i ON i.id = n.incident_id
WHERE n.status = 'due' AND n.page = %(page)s AND n.receiver = %(receiver)s AND n.due_at <= %(now)s
  AND n.happening <> 'summary' AND NOT (n.page AND n.happening IN ('acknowledged', 'resolved'))
ORDER BY i.severity NULLS FIRST, n.due_at, n.id
OFFSET %(left)s
FOR UPDATE OF n SKIP LOCKED;

-- name: crowd
-- What these messages tell: the gravest incidents by name, and on each row the whole.
WITH waiting AS (
    SELECT n.key, n.happening, n.created_at, i.severity, i.id, i.title, i.status, i.rule, i.target
    FROM notification n LEFT JOIN incident i ON i.id = n.incident_id
    WHERE n.id = ANY(%(ids)s)
), whole AS (
    SELECT count(*) AS messages, count(DISTINCT key) AS incidents, min(created_at) AS since,
           max(created_at) AS until
    FROM waiting
), severities AS (
    SELECT jsonb_object_agg(severity, n) AS by_severity
    FROM (SELECT coalesce(severity, 'P0') AS severity, count(DISTINCT key) AS n FROM waiting GROUP BY 1) g
), happenings AS (
    SELECT jsonb_object_agg(happening, n) AS by_happening
    FROM (SELECT happening, count(*) AS n FROM waiting GROUP BY 1) g
), named AS (
    SELECT DISTINCT id, title, severity, status, rule, target FROM waiting ORDER BY severity, id LIMIT %(named)s
)
SELECT * FROM named, whole, severities, happenings ORDER BY severity, id;

-- name: replace_by_summary
-- The same ones are told by the summary.
UPDATE notification SET status = 'superseded', summary_id = %(summary_id)s WHERE id = ANY(%(ids)s);

-- name: claim_notifications
-- Due messages under a lease, P0 first, within each receiver's rate; one receiver hears of an
-- incident in order, and one whose circuit is open is tried with one message. Who is to be woken
-- comes before who may sleep. What did not reach its receiver is tried
-- next by another process than this one, if there is one that takes it.
WITH due AS MATERIALIZED (
    -- A subquery in the list, and a predicate that no partial index answers: looked up by incident.
    SELECT d.id, d.receiver, d.incident_id, d.happening, d.due_at,
           CASE WHEN d.happening = 'summary' THEN 0
                WHEN d.page AND d.happening IN ('acknowledged', 'resolved') THEN 2 ELSE 1 END AS class,
           EXISTS (SELECT FROM notification e
                   WHERE e.incident_id = d.incident_id AND e.receiver = d.receiver
                     AND (e.created_at, e.id) < (d.created_at, d.id)
                     AND e.status NOT IN ('sent', 'dead', 'superseded')) AS behind
    FROM notification d
    WHERE d.status IN ('due', 'sending') AND d.page = %(page)s
      AND CASE WHEN d.status = 'due' THEN d.due_at ELSE d.lease_until END
          <= %(now)s - CASE WHEN d.attempts = 1 AND d.receiver = ANY(%(unreached)s) THEN %(others_first)s
                            ELSE interval '0' END
), rates AS MATERIALIZED (
    SELECT w.receiver, w.waiting, r.failures, r.open_until,
           coalesce((%(per_minute)s::jsonb ->> w.receiver)::int, 20) AS per_minute,
           s.used + l.used AS used, s.singles + l.singles AS singles
    FROM (SELECT receiver, count(*) AS waiting FROM due WHERE NOT behind GROUP BY receiver) w
    LEFT JOIN receiver r ON r.name = w.receiver
    CROSS JOIN LATERAL (
        SELECT count(*) AS used, count(*) FILTER (WHERE n.happening <> 'summary') AS singles
        FROM notification n
        WHERE n.receiver = w.receiver AND n.status = 'sent' AND n.sent_at > %(now)s - interval '1 minute') s
    CROSS JOIN LATERAL (
        SELECT count(*) AS used, count(*) FILTER (WHERE n.happening <> 'summary') AS singles
        FROM notification n
        WHERE n.receiver = w.receiver AND n.status = 'sending' AND n.lease_until > %(now)s) l
), ranked AS (
    SELECT due.id, i.severity, due.due_at, due.class,
           row_number() OVER (PARTITION BY due.receiver
                              ORDER BY due.class, i.severity NULLS FIRST, due.due_at, due.id) AS place,
           CASE WHEN NOT %(page)s AND rates.open_until > %(now)s THEN 0
                WHEN NOT %(page)s AND rates.failures >= %(circuit_failures)s THEN least(1, rates.per_minute - rates.used)
                WHEN due.happening = 'summary' OR rates.waiting = 1 THEN rates.per_minute - rates.used
                ELSE least(rates.per_minute - rates.used,
                           rates.per_minute - greatest(1, rates.per_minute / 4) - rates.singles) END AS may
    FROM due JOIN rates USING (receiver) LEFT JOIN incident i ON i.id = due.incident_id
    WHERE NOT due.behind
), first AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY class, severity NULLS FIRST, due_at, id) AS place
    FROM ranked WHERE place <= may
    ORDER BY 2 LIMIT 200
)
UPDATE notification n
SET status = 'sending', attempts = n.attempts + 1, lease_until = %(now)s + %(lease)s::interval,
    repeated = n.repeated OR n.status = 'sending'
FROM (
    SELECT l.id
    FROM first JOIN notification l ON l.id = first.id
    WHERE l.status IN ('due', 'sending')
      AND CASE WHEN l.status = 'due' THEN l.due_at ELSE l.lease_until END <= %(now)s
    ORDER BY first.place
    LIMIT %(limit)s
    FOR UPDATE OF l SKIP LOCKED) picked
WHERE n.id = picked.id
RETURNING n.id, n.incident_id, n.key, n.receiver, n.happening, n.page, n.document, n.attempts, n.due_at, n.repeated,
    n.round;

-- name: notification_sent
-- The receiver has it.
UPDATE notification
SET status = 'sent', sent_at = %(now)s, lease_until = NULL, error = '', document = %(document)s
WHERE id = %(id)s AND status = 'sending' AND attempts = %(attempts)s;

-- name: notification_failed
-- Try again at that time, or never.
UPDATE notification
SET status = CASE WHEN %(dead)s THEN 'dead' ELSE 'due' END, due_at = %(due_at)s, lease_until = NULL,
    error = %(error)s, repeated = repeated OR %(maybe)s
WHERE id = %(id)s AND status = 'sending' AND attempts = %(attempts)s;

-- name: receiver_sent
-- It takes messages: its circuit is closed; if it was open, all that waits to try it again is due soon. A
-- message that it refuses while it takes others keeps its pause.
WITH back AS MATERIALIZED (
    SELECT name FROM receiver WHERE name = %(name)s AND failures >= %(circuit_failures)s FOR UPDATE
), waiting AS (
    SELECT n.id FROM notification n JOIN back ON back.name = n.receiver
    WHERE n.status = 'due' AND n.attempts > 0 AND n.due_at > %(now)s + %(soon)s::interval
    FOR UPDATE OF n SKIP LOCKED
), hastened AS (
    UPDATE notification SET due_at = %(now)s + %(soon)s::interval WHERE id IN (SELECT id FROM waiting) RETURNING id
)
-- The count makes it come after that: it forgets the failures.
INSERT INTO receiver (name, sent, sent_at) SELECT %(name)s, 1, %(now)s FROM (SELECT count(*) FROM hastened) done
ON CONFLICT (name) DO UPDATE
SET sent = receiver.sent + 1, sent_at = %(now)s, failures = 0, open_until = NULL;

-- name: receiver_failed
-- One failure more in a row; from a certain number on it is left alone for a while.
INSERT INTO receiver AS r (name, failures, failed, failed_at, error) VALUES (%(name)s, 1, 1, %(now)s, %(error)s)
ON CONFLICT (name) DO UPDATE
SET failures = r.failures + 1, failed = r.failed + 1, failed_at = %(now)s, error = %(error)s,
    open_until = CASE WHEN r.failures + 1 >= %(circuit_failures)s
                      THEN %(now)s + %(circuit_open)s::interval END;

-- name: incident_notifications
-- The latest messages about an incident, in order: what flaps all day has hundreds.
SELECT * FROM (
    SELECT id, receiver, happening, page, status, created_at, due_at, sent_at, attempts, error, fallback_of
    FROM notification WHERE incident_id = %(id)s ORDER BY id DESC LIMIT 50) latest
ORDER BY id;

-- name: notifications
-- The newest messages, dead ones or all; they are found in an index alone.
SELECT n.id, n.incident_id, n.receiver, n.happening, n.page, n.status, n.created_at, n.due_at, n.sent_at, n.attempts,
       n.error
FROM (
    SELECT id FROM notification
    WHERE (%(status)s::text IS NULL OR status = %(status)s)
      AND (%(receiver)s::text IS NULL OR receiver = %(receiver)s)
    ORDER BY created_at DESC, id DESC
    LIMIT %(limit)s) page
JOIN notification n ON n.id = page.id
ORDER BY n.created_at DESC, n.id DESC;

-- name: redrive_notifications
-- Given up before, tried once more from the beginning: one, or all of a receiver.
UPDATE notification SET status = 'due', due_at = %(now)s, attempts = 0, error = ''
WHERE status = 'dead' AND (%(id)s::uuid IS NULL OR id = %(id)s)
  AND (%(receiver)s::text IS NULL OR receiver = %(receiver)s)
RETURNING id, incident_id, key, receiver, happening, page, attempts;
