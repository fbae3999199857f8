-- name: audit_events
-- The newest events that meet the filters; proofs of rows only when they are asked for.
SELECT filed_at, id, at, actor_kind, actor, what, incident_id, subject, before, after, details, code_version
FROM audit_event e
WHERE (%(before)s::timestamptz IS NULL OR (e.at, e.id) < (%(before)s, %(before_id)s::uuid))
  AND (%(actor)s::text IS NULL OR e.actor = %(actor)s)
  AND (%(what)s::text IS NULL OR e.what = %(what)s)
  AND (%(what)s::text IS NOT NULL OR e.what <> 'row')
  AND (%(subject)s::text IS NULL OR e.subject = %(subject)s)
  AND (%(incident)s::uuid IS NULL OR e.incident_id = %(incident)s)
  AND (%(since)s::timestamptz IS NULL OR e.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR e.at < %(until)s)
ORDER BY e.at DESC, e.id DESC LIMIT %(limit)s;

-- name: audit_events_of_incidents
-- The same of incidents with this rule or target: the newest incident first, and of each the newest event.
-- Incident by incident, and no more events of each than are asked for: as one join all of them would be sorted.
SELECT e.*
FROM incident i
CROSS JOIN LATERAL (
    SELECT e.filed_at, e.id, e.at, e.actor_kind, e.actor, e.what, e.incident_id, e.subject, e.before, e.after,
           e.details, e.code_version
    FROM audit_event e
    WHERE e.filed_at = i.opened_at AND e.incident_id = i.id
      AND (%(before)s::timestamptz IS NULL OR (i.opened_at, e.id) < (%(before)s, %(before_id)s::uuid))
      AND (%(actor)s::text IS NULL OR e.actor = %(actor)s)
      AND (%(what)s::text IS NULL OR e.what = %(what)s)
      AND (%(what)s::text IS NOT NULL OR e.what <> 'row')
      AND (%(subject)s::text IS NULL OR e.subject = %(subject)s)
      AND (%(since)s::timestamptz IS NULL OR e.at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR e.at < %(until)s)
    ORDER BY e.id DESC LIMIT %(limit)s) e
WHERE (%(rule)s::text IS NULL OR i.rule = %(rule)s)
  AND (%(target)s::text IS NULL OR i.target = %(target)s)
  AND (%(incident)s::uuid IS NULL OR i.id = %(incident)s)
  AND (%(before)s::timestamptz IS NULL OR i.opened_at <= %(before)s)
  AND (%(until)s::timestamptz IS NULL OR i.opened_at < %(until)s)
ORDER BY i.opened_at DESC, e.id DESC LIMIT %(limit)s;

-- name: events_to_prove
-- The events of an incident, the newest first, and which of them wait for their seal.
SELECT e.filed_at, e.id, e.at, e.what, e.actor, e.subject,
       EXISTS (SELECT FROM unsealed u WHERE u.id = e.id)
       OR (NOT e.queued AND (SELECT NOT b.done AND (e.filed_at, e.id) > (b.filed_at, b.id) FROM seal_backlog b)) AS waits
FROM audit_event e WHERE e.incident_id = %(id)s ORDER BY e.id DESC LIMIT %(limit)s;

-- name: dropped_partitions
-- Months that retention has dropped, as it recorded them itself.
SELECT id, at, subject, details FROM audit_event WHERE what = 'retention' ORDER BY at, id;

-- name: forks
-- What was stated of seals that a failover lost.
SELECT actor, at, details FROM audit_event WHERE what = 'fork' ORDER BY at, id;

-- name: lost_unsealed
-- Events that wait for their seal and are not there any more.
SELECT u.id, u.filed_at FROM unsealed u
WHERE NOT EXISTS (SELECT FROM audit_event e WHERE e.filed_at = u.filed_at AND e.id = u.id)
ORDER BY u.id LIMIT %(limit)s;

-- name: count_events
-- How many events there are, and how many of them wait for their seal or to be queued for one.
SELECT (SELECT count(*) FROM audit_event) AS events,
       (SELECT count(*) FROM unsealed u
        WHERE EXISTS (SELECT FROM audit_event e WHERE e.filed_at = u.filed_at AND e.id = u.id)) AS unsealed,
       CASE WHEN (SELECT done FROM seal_backlog) IS NOT FALSE THEN 0 ELSE
           (SELECT count(*) FROM audit_event e, seal_backlog b
            WHERE NOT e.queued AND (e.filed_at, e.id) > (b.filed_at, b.id)) END AS backlog;

-- name: added_events
-- Events that are in no seal and do not wait for one. Sets, which no plan compares one with each other.
SELECT e.filed_at, e.id, e.at, e.what, e.actor, e.subject
FROM audit_event e JOIN (
    SELECT a.filed_at, a.id FROM audit_event a
    WHERE (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
    EXCEPT (
        SELECT u.filed, u.id FROM seal s, unnest(s.filed, s.ids) AS u(filed, id)
        WHERE %(since)s::timestamptz IS NULL OR s.at >= %(since)s
        UNION ALL SELECT filed_at, id FROM unsealed)) added ON added.filed_at = e.filed_at AND added.id = e.id
WHERE e.queued OR NOT EXISTS (SELECT FROM seal_backlog b WHERE NOT b.done AND (e.filed_at, e.id) > (b.filed_at, b.id))
ORDER BY e.at, e.id LIMIT %(limit)s;

-- name: sealed_twice
-- Events that are in more than one seal.
SELECT u.id, min(s.number) AS first, max(s.number) AS last
FROM seal s, unnest(s.ids) AS u(id) GROUP BY u.id HAVING count(*) > 1 ORDER BY u.id LIMIT %(limit)s;

-- name: event_named
-- What an event says about itself, to name it.
SELECT at::text AS at, what, actor, subject AS "of" FROM audit_event WHERE filed_at = %(filed_at)s AND id = %(id)s;

-- name: incidents_after
-- The next incidents, by id.
SELECT id, opened_at FROM incident
WHERE id > %(after)s AND (%(since)s::timestamptz IS NULL OR seen_at >= %(since)s)
ORDER BY id LIMIT %(limit)s;

-- name: witnessed_rows
-- The rows of these incidents that prove what was done, beside what the last event of each says of it; also
-- what only one side has. alone: an event of it has none beside it that people read, in its transaction.
WITH found AS (
    SELECT 'answer ' || r.incident_id || '/' || r.attempt || '/' || r.position AS subject, r.incident_id,
           'answer' AS name, to_jsonb(r) AS content
    FROM answer r WHERE r.incident_id = ANY(%(incidents)s)
    UNION ALL
    SELECT 'decision ' || r.id, r.incident_id, 'decision', to_jsonb(r)
    FROM decision r WHERE r.incident_id = ANY(%(incidents)s)
    UNION ALL
    SELECT 'fix ' || r.id, r.incident_id, 'fix', to_jsonb(r) FROM fix r WHERE r.incident_id = ANY(%(incidents)s)
    UNION ALL
    SELECT 'note ' || r.id, r.incident_id, 'note', to_jsonb(r) FROM note r WHERE r.incident_id = ANY(%(incidents)s)),
trail AS (
    SELECT e.*, bool_or(e.what <> 'row') OVER (PARTITION BY e.incident_id, e.xid) AS told
    FROM audit_event e WHERE e.incident_id = ANY(%(incidents)s)),
begun AS (SELECT incident_id, min(at) AS begun_at FROM trail GROUP BY incident_id),
witnessed AS (
    SELECT DISTINCT ON (subject) subject, incident_id, after, details ->> 'columns' AS version, at, actor,
           count(*) OVER (PARTITION BY subject) AS changes,
           bool_and(told) OVER (PARTITION BY subject) AS told
    FROM trail WHERE what = 'row' ORDER BY subject, id DESC)
SELECT coalesce(f.subject, w.subject) AS subject, i.id AS incident_id, f.name,
       b.begun_at,
       w.after AS witnessed, w.at, w.actor, w.changes, w.told, w.version,
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(c.content::text, 'UTF8')), 'hex') AS digest,
       CASE WHEN %(whole)s THEN c.content::text END AS content
FROM found f FULL JOIN witnessed w ON w.subject = f.subject
JOIN incident i ON i.id = coalesce(f.incident_id, w.incident_id)
LEFT JOIN begun b ON b.incident_id = i.id
LEFT JOIN LATERAL (
    SELECT pg_catalog.jsonb_object_agg(k, f.content -> k) AS content
    FROM jsonb_array_elements_text(%(columns)s -> f.name -> coalesce(w.version, '1')) k
    WHERE f.subject IS NOT NULL) c ON true
ORDER BY subject;

-- name: rows_of_lost_incidents
-- Rows that were witnessed and whose incident is not there any more; but for months of which retention
-- deleted the incidents.
SELECT e.subject, e.at, e.incident_id FROM audit_event e
WHERE e.what = 'row' AND (%(since)s::timestamptz IS NULL OR e.at >= %(since)s)
  AND NOT EXISTS (SELECT FROM incident i WHERE i.id = e.incident_id)
  AND NOT EXISTS (SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS d(begins, ends)
                  WHERE e.filed_at >= d.begins AND e.filed_at < d.ends)
ORDER BY e.at, e.id LIMIT %(limit)s;

-- name: witnessed_since
-- From when on each such row has an event.
SELECT least((SELECT begun_at FROM seal_backlog), (SELECT min(at) FROM seal),
             (SELECT min(at) FROM audit_event WHERE what = 'row')) AS begun_at;

-- name: bundle_incident
-- The incident itself.
SELECT to_jsonb(i)::text AS content FROM incident i WHERE id = %(id)s;

-- name: bundle_alerts
-- Its notices, in order.
SELECT to_jsonb(a)::text AS content FROM alert a WHERE incident_id = %(id)s ORDER BY received_at, id;

-- name: bundle_deliveries
-- What brought them: of the raw body only its digest.
SELECT jsonb_build_object('id', d.id, 'source', d.source, 'received_at', d.received_at, 'outcome', d.outcome,
                          'body_sha256', encode(d.body_sha256, 'hex'), 'alert_count', d.alert_count)::text AS content
FROM (SELECT DISTINCT delivery_id, received_at FROM alert WHERE incident_id = %(id)s) a
CROSS JOIN LATERAL (SELECT * FROM delivery WHERE received_at = a.received_at AND id = a.delivery_id LIMIT 1) d
ORDER BY d.received_at, d.id;

-- name: bundle_notifications
-- What was told to whom, and what became of it.
SELECT (to_jsonb(n) - 'lease_until')::text AS content FROM notification n
WHERE incident_id = %(id)s ORDER BY created_at, id;

-- name: bundle_events
-- Its events, in order, with all that their leaves are made of.
SELECT filed_at, id, at, actor_kind, actor, what, incident_id, subject, before, after, details::text AS details,
       code_version, xid::text AS xid
FROM audit_event WHERE incident_id = %(id)s ORDER BY id;

-- name: bundle_rules
-- The code of each version of a rule that had a part in it, as far as it was kept.
SELECT r.checksum, r.rule, r.module, r.sql FROM rule_source r
WHERE r.checksum IN (
    SELECT rule_checksum FROM incident WHERE id = %(id)s
    UNION SELECT rule_checksum FROM decision WHERE incident_id = %(id)s
    UNION SELECT rule_checksum FROM fix WHERE incident_id = %(id)s)
ORDER BY r.rule, r.seen_at;

-- name: count_refusals
-- How many events are filed at this very minute, as refusals are; no more than that many are counted.
SELECT count(*) AS refusals FROM (SELECT FROM audit_event WHERE filed_at = %(minute)s LIMIT %(most)s) told;
