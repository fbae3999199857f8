-- name: standing_incidents
-- Incidents that are not resolved, the most severe first and then the newest, after the one of a cursor.
SELECT i.* FROM incident i LEFT JOIN incident c ON c.id = %(before_id)s
WHERE i.status <> 'resolved'
  AND (%(status)s::text IS NULL OR i.status = %(status)s)
  AND (%(severity)s::text IS NULL OR i.severity = %(severity)s)
  AND (%(q)s::text IS NULL OR strpos(lower(i.title), lower(%(q)s)) > 0)
  AND (c.id IS NULL OR i.severity > c.severity
       OR i.severity = c.severity AND (i.opened_at, i.id) < (c.opened_at, c.id))
ORDER BY i.severity, i.opened_at DESC, i.id DESC
LIMIT %(limit)s;

-- name: said_of_incidents
-- What was decided about each of these, and how far and when people are told next.
SELECT i.id, d.action, d.sentence, d.option, coalesce(e.level, 1) AS level,
       (SELECT min(t.due_at) FROM timer t WHERE t.incident_id = i.id AND t.what = 'escalate') AS next_at
FROM incident i
LEFT JOIN decision d ON d.id = i.decision_id
LEFT JOIN escalation e ON e.incident_id = i.id
WHERE i.id = ANY(%(ids)s::uuid[]);

-- name: standing_counts
-- How many incidents of each severity are not resolved.
SELECT severity, count(*) AS incidents FROM incident WHERE status <> 'resolved' GROUP BY severity;

-- name: approvals_to_give
-- What waits for a second person anywhere, for as long as its decision stands.
SELECT a.incident_id, a.option, a.actor, a.expires_at, i.title, i.severity
FROM approval a JOIN incident i ON i.id = a.incident_id AND i.decision_id = a.seen
WHERE a.fix_id IS NULL AND a.expires_at > %(now)s AND i.status <> 'resolved'
ORDER BY a.expires_at, a.id;
