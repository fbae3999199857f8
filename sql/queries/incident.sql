-- name: lock_target
-- Triage that opens a P0 or P1 on a target and the last gate of a fix go one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('responder:target:' || %(target)s, 0));

-- name: lock_incident
-- One incident, held until the transaction ends.
SELECT * FROM incident WHERE id = %(id)s FOR UPDATE;

-- name: incident
-- One incident.
SELECT * FROM incident WHERE id = %(id)s;

-- name: lock_open_incident
-- The incident of this key that is not resolved.
SELECT * FROM incident WHERE key = %(key)s AND status <> 'resolved' FOR UPDATE;

-- name: lock_incidents
-- The incidents with these ids; of these keys the one that is open and the newest. In the order of their
-- keys, so that nobody deadlocks; the one that is open comes last.
SELECT i.* FROM incident i
WHERE i.id IN (
    SELECT unnest(%(ids)s::uuid[])
    UNION
    SELECT o.id FROM incident o WHERE o.key = ANY(%(keys)s::text[]) AND o.status <> 'resolved'
    UNION
    SELECT newest.id FROM unnest(%(keys)s::text[]) AS k (key) CROSS JOIN LATERAL (
        SELECT n.id FROM incident n WHERE n.key = k.key ORDER BY n.opened_at DESC LIMIT 1) newest)
ORDER BY i.key, i.status <> 'resolved', i.opened_at
FOR UPDATE;

-- name: insert_incidents
-- New incidents; those do not come back whose keys somebody else opened this moment.
INSERT INTO incident (id, key, title, source, rule, rule_checksum, target, parameters, labels, status,
                      stage, severity, declared_severity, severity_unreadable, walking, decision_id, trouble,
                      trouble_detail, opened_at, seen_at)
SELECT n.id, n.key, n.title, n.source, n.rule, n.rule_checksum, n.target, n.parameters, n.labels, 'open',
       n.stage, n.severity, n.declared_severity, n.severity_unreadable, n.walking, n.decision_id, n.trouble,
       n.trouble_detail, %(now)s, %(now)s
FROM ROWS FROM (jsonb_to_recordset(%(incidents)s) AS (
    id uuid, key text, title text, source text, rule text, rule_checksum text, target text, parameters jsonb,
    labels jsonb, stage text, severity text, declared_severity text, severity_unreadable boolean, walking boolean,
    decision_id uuid, trouble text, trouble_detail text)) WITH ORDINALITY AS n
ORDER BY n.ordinality
ON CONFLICT (key) WHERE status <> 'resolved' DO NOTHING
RETURNING *;

-- name: seen_again
-- More notices of them came.
UPDATE incident SET seen_at = greatest(seen_at, %(now)s) WHERE id = ANY(%(ids)s);

-- name: joined
-- A notice joined: the severity only ever rises, status and stage stay.
UPDATE incident
SET severity = least(severity, %(severity)s),
    declared_severity = least(declared_severity, %(declared_severity)s),
    severity_unreadable = severity_unreadable OR %(severity_unreadable)s,
    seen_at = greatest(seen_at, %(now)s)
WHERE id = %(id)s
RETURNING *;

-- name: reopen_incident
-- It fires again, or its cause is still there: the same incident goes on, unless a newer one does.
UPDATE incident
SET status = 'open', resolved_at = NULL, resolved_by = NULL, acknowledged_at = NULL,
    acknowledged_by = NULL, updates = updates + 1, looked_again = 0
WHERE id = %(id)s AND status = 'resolved'
  AND NOT EXISTS (SELECT FROM incident o WHERE o.key = incident.key AND o.status <> 'resolved')
RETURNING *;

-- name: resolve_incident
-- It is over for people.
UPDATE incident
SET status = 'resolved', resolved_at = %(now)s, resolved_by = %(resolved_by)s, updates = updates + 1
WHERE id = %(id)s AND status <> 'resolved'
RETURNING *;

-- name: start_walk
-- A walk begins at this stage; the caller enqueues its job.
UPDATE incident SET walking = true, stage = %(stage)s WHERE id = %(id)s RETURNING *;

-- name: set_again
-- Whoever ends the walk that is under way starts again at diagnose.
UPDATE incident SET again = true, updates = updates + 1 WHERE id = %(id)s RETURNING *;

-- name: finish_incident
-- Nothing is left to do.
UPDATE incident SET stage = 'done', walking = false, again = false WHERE id = %(id)s RETURNING *;

-- name: acknowledge_incident
-- Somebody has it.
UPDATE incident
SET status = 'acknowledged', acknowledged_at = %(now)s, acknowledged_by = %(actor)s, updates = updates + 1
WHERE id = %(id)s AND status = 'open'
RETURNING *;

-- name: firing_conditions
-- How many conditions of the incident are firing.
SELECT count(*) AS firing FROM condition WHERE incident_id = %(id)s AND firing;

-- name: take_walk
-- Whoever runs the walk now; an earlier runner that is still alive is fenced off.
UPDATE incident SET attempt = attempt + 1, walking = true
WHERE id = %(id)s AND stage <> 'done'
RETURNING *;

-- name: advance
-- The commit of a stage, fenced by stage and attempt.
UPDATE incident SET stage = %(next)s, updates = updates + 1
WHERE id = %(id)s AND stage = %(stage)s AND attempt = %(attempt)s
RETURNING *;

-- name: rest
-- The walk ends here until a timer, a notice or a person wakes it.
UPDATE incident SET stage = %(next)s, walking = false, updates = updates + 1
WHERE id = %(id)s AND stage = %(stage)s AND attempt = %(attempt)s
RETURNING *;

-- name: start_again
-- Something happened during the walk: once more from the beginning, with answers of its own.
UPDATE incident SET again = false, looked_again = 0, stage = 'diagnose', attempt = attempt + 1
WHERE id = %(id)s AND stage = %(stage)s AND attempt = %(attempt)s
RETURNING *;

-- name: wake_walk
-- A walk that a timer starts; nothing when one is under way.
UPDATE incident SET walking = true WHERE id = %(id)s AND NOT walking AND stage <> 'done' RETURNING *;

-- name: set_findings
-- What the diagnosis found, with the version of the rule that found it.
UPDATE incident SET findings = %(findings)s, rule_checksum = %(rule_checksum)s, trouble = %(trouble)s,
    trouble_detail = %(trouble_detail)s
WHERE id = %(id)s AND attempt = %(attempt)s;

-- name: set_decision
-- The decision that stands.
UPDATE incident SET decision_id = %(decision_id)s, looked_again = looked_again + %(looked)s::int
WHERE id = %(id)s;

-- name: set_paged
-- When people were, or are about to be, woken for it.
UPDATE incident
SET paged_at = (SELECT max(coalesce(sent_at, due_at)) FROM notification
                WHERE incident_id = %(id)s AND page AND happening = 'opened'
                  AND status IN ('due', 'sending', 'sent'))
WHERE id = %(id)s;

-- name: forgotten_walks
-- Incidents that should be walking and have no live job: what a crash between two systems could leave.
SELECT i.id, i.severity FROM incident i
WHERE i.stage <> 'done' AND (i.walking OR NOT EXISTS (
      SELECT FROM timer t
      WHERE t.incident_id = i.id AND t.what NOT IN ('escalate', 'acknowledged', 'unattended')))
  AND NOT EXISTS (
      SELECT FROM responder_jobs.procrastinate_jobs j
      WHERE j.task_name = 'walk' AND j.status IN ('todo', 'doing') AND j.args ->> 'incident' = i.id::text)
LIMIT 100;

-- name: wake_forgotten
-- An incident without a job and without a timer walks again.
UPDATE incident SET walking = true WHERE id = %(id)s RETURNING *;

-- name: incidents
-- The newest incidents that meet the filters, before a cursor; they are found in an index alone.
SELECT i.* FROM (
    SELECT id FROM incident
    WHERE (%(status)s::text IS NULL OR status = %(status)s)
      AND (%(severity)s::text IS NULL OR severity = %(severity)s)
      AND (%(rule)s::text IS NULL OR rule = %(rule)s)
      AND (%(q)s::text IS NULL OR strpos(lower(title), lower(%(q)s)) > 0)
      AND (%(before)s::timestamptz IS NULL OR (opened_at, id) < (%(before)s::timestamptz, %(before_id)s))
    ORDER BY opened_at DESC, id DESC
    LIMIT %(limit)s) page
JOIN incident i ON i.id = page.id
ORDER BY i.opened_at DESC, i.id DESC;

-- name: incident_alerts
-- The latest notices of an incident.
SELECT received_at, source, outcome, fingerprint, status, name, notice
FROM alert WHERE incident_id = %(id)s ORDER BY received_at DESC, id DESC LIMIT 50;

-- name: incident_events
-- The trail of an incident, in order, without the digests of its rows.
SELECT id, at, actor_kind, actor, what, subject, before, after, details, code_version
FROM audit_event WHERE incident_id = %(id)s AND what <> 'row' ORDER BY at, id;

-- name: insert_audit_events
-- Recorded facts; the same id is not recorded twice.
INSERT INTO audit_event (filed_at, id, at, actor_kind, actor, what, incident_id, subject, before, after,
                         details, code_version)
SELECT e.filed_at, e.id, %(now)s, e.actor_kind, e.actor, e.what, e.incident_id, e.subject, e.before, e.after,
       e.details, e.code_version
FROM jsonb_to_recordset(%(rows)s) AS e (
    filed_at timestamptz, id uuid, actor_kind text, actor text, what text, incident_id uuid, subject text,
    before text, after text, details jsonb, code_version text)
ON CONFLICT DO NOTHING;

-- name: set_timer
-- Wake this incident at that time; an earlier time of the same kind is replaced.
INSERT INTO timer (incident_id, what, due_at) VALUES (%(id)s, %(what)s, %(due_at)s)
ON CONFLICT (incident_id, what) DO UPDATE SET due_at = EXCLUDED.due_at;

-- name: set_timers
-- The same for many.
INSERT INTO timer (incident_id, what, due_at)
SELECT t.id, t.what, t.due_at
FROM jsonb_to_recordset(%(rows)s) AS t (
    id uuid, what text, due_at timestamptz)
ON CONFLICT (incident_id, what) DO UPDATE SET due_at = EXCLUDED.due_at;

-- name: drop_timer
-- It is no longer needed.
DELETE FROM timer WHERE incident_id = %(id)s AND what = ANY(%(whats)s);

-- name: lease_timer
-- The next one that is due; incidents that are walking wait for the end of their walk, people do not.
UPDATE timer SET due_at = %(now)s + %(lease)s::interval
WHERE (incident_id, what) = (
    SELECT t.incident_id, t.what
    FROM timer t JOIN incident i ON i.id = t.incident_id
    WHERE t.due_at <= %(now)s AND (NOT i.walking OR t.what IN ('escalate', 'acknowledged', 'unattended'))
    ORDER BY t.due_at
    LIMIT 1
    FOR UPDATE OF t SKIP LOCKED)
RETURNING incident_id, what, due_at;

-- name: take_timer
-- It is still the one that was leased, and now its effect happens.
DELETE FROM timer WHERE incident_id = %(incident_id)s AND what = %(what)s AND due_at = %(due_at)s;

-- name: lock_echoed_by_key
-- The open incident that a pager knows by our key.
SELECT * FROM incident WHERE dedup_key(key) = %(dedup_key)s AND status <> 'resolved'
ORDER BY opened_at DESC LIMIT 1 FOR UPDATE;

-- name: lock_echoed_by_condition
-- The open incident of what a source told us under this fingerprint.
SELECT i.* FROM condition c JOIN incident i ON i.id = c.incident_id
WHERE c.source = %(source)s AND c.fingerprint = %(fingerprint)s AND i.status <> 'resolved'
FOR UPDATE OF i;
