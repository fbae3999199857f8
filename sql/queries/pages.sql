-- name: promotions_of_rule
-- How far each version of this rule may go, the latest word first.
SELECT rule, checksum, autonomy, actor, at FROM promotion WHERE rule = %(rule)s ORDER BY at DESC, checksum;

-- name: incidents_of_rule
-- The last incidents of this rule.
SELECT id, title, status, severity, target, opened_at, resolved_at, resolved_by FROM incident
WHERE rule = %(rule)s ORDER BY opened_at DESC, id DESC LIMIT %(limit)s;

-- name: fixes_of_rule
-- The last fixes of this rule, and what they came to.
SELECT id, incident_id, option, target, actor_kind, actor, status, verification, reason, dry_run, undoes, started_at
FROM fix WHERE rule = %(rule)s ORDER BY started_at DESC LIMIT %(limit)s;

-- name: source_outcomes
-- What became of the deliveries of the last hour, by source; what was refused: by source, address and minute.
SELECT source, outcome, count(*) AS deliveries FROM delivery
WHERE received_at > %(now)s - interval '1 hour' GROUP BY source, outcome
UNION ALL
SELECT actor, 'refused', count(*) FROM audit_event
WHERE filed_at > %(now)s - interval '1 hour' AND what = 'refused' GROUP BY actor;

-- name: quarantined_deliveries
-- The newest deliveries that nobody could read, of all sources or one, before a cursor.
SELECT id, received_at, source, outcome, alert_count, triaged_at, note FROM delivery
WHERE outcome = 'quarantined' AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(before)s::timestamptz IS NULL OR (received_at, id) < (%(before)s::timestamptz, %(before_id)s))
ORDER BY received_at DESC, id DESC LIMIT %(limit)s;

-- name: deliveries_of_source
-- The newest deliveries of a source, before a cursor. A range, not `=`: no index but the one by source.
SELECT id, received_at, source, outcome, alert_count, triaged_at, note FROM delivery
WHERE source >= %(source)s AND source <= %(source)s
  AND (%(before)s::timestamptz IS NULL
       OR (received_at <= %(before)s::timestamptz AND (received_at, id) < (%(before)s::timestamptz, %(before_id)s)))
ORDER BY source DESC, received_at DESC, id DESC LIMIT %(limit)s;

-- name: delivery_left
-- Whether anything in it was not understood, and whether it was redriven since.
SELECT outcome = 'quarantined' OR notices @? '$[*].malformed' AS quarantined, note LIKE 'redriven as %%' AS redriven
FROM delivery WHERE id = %(id)s;

-- name: dead_messages
-- Messages to a receiver that were given up, before a cursor.
SELECT n.id, n.incident_id, i.title, n.happening, n.page, n.created_at, n.attempts, n.error
FROM notification n LEFT JOIN incident i ON i.id = n.incident_id
WHERE n.status = 'dead' AND n.receiver = %(receiver)s
  AND (%(before)s::timestamptz IS NULL OR (n.created_at, n.id) < (%(before)s::timestamptz, %(before_id)s))
ORDER BY n.created_at DESC, n.id DESC LIMIT %(limit)s;

-- name: waiting_messages
-- Messages to a receiver that are to leave, the next one first.
SELECT n.id, n.incident_id, i.title, n.happening, n.page, n.status, n.due_at, n.attempts, n.error
FROM notification n LEFT JOIN incident i ON i.id = n.incident_id
WHERE n.status IN ('due', 'sending') AND n.receiver = %(receiver)s
ORDER BY n.due_at, n.id LIMIT %(limit)s;

-- name: sent_messages
-- The last messages that a receiver took.
SELECT n.id, n.incident_id, i.title, n.happening, n.page, n.sent_at, n.attempts
FROM notification n LEFT JOIN incident i ON i.id = n.incident_id
WHERE n.status = 'sent' AND n.receiver = %(receiver)s
ORDER BY n.sent_at DESC LIMIT %(limit)s;

-- name: windows_between
-- The maintenance of a month, in order.
SELECT id, name, reason, starts_at, ends_at, state, ready_at FROM maintenance_window
WHERE ends_at > %(since)s AND starts_at < %(until)s AND state <> 'withdrawn'
ORDER BY starts_at, id;

-- name: events_of_subject
-- What was recorded about a subject, in order.
SELECT at, actor_kind, actor, what, subject, before, after, details FROM audit_event WHERE subject = %(subject)s ORDER BY at, id
LIMIT %(limit)s;

-- name: titles
-- What these incidents are called.
SELECT id, title FROM incident WHERE id = ANY(%(incidents)s);
