-- name: try_retention
-- One process at a time over all hosts, for one step.
SELECT pg_try_advisory_xact_lock(hashtextextended('responder:retention', 0)) AS got;

-- name: wait_for_nobody
-- Counting a month may take its time; a lock that is not got at once is tried for a minute later, since
-- all who come after us wait behind us.
SELECT set_config('lock_timeout', '100ms', true), set_config('statement_timeout', '60s', true);

-- name: expired_partition
-- The next partition to go: all of it is older than is kept, and nothing in it is needed.
SELECT parent, name, begins, ends FROM partitions()
WHERE ends <= %(now)s - CASE parent WHEN 'delivery' THEN %(deliveries)s::interval ELSE %(audit)s::interval END
  AND NOT partition_needed(parent, begins, ends)
ORDER BY ends, name LIMIT 1;

-- name: drop_partition
-- It goes, and with it so many rows.
SELECT drop_partition(%(name)s) AS rows;

-- name: expired_incidents
-- The next incidents to go, of the oldest month that is over: it is older than is kept, and no incident of
-- it is open, held, lately ended, waits for a review, or one on which an open breaker stands.
WITH kept (opened_at) AS (
    SELECT opened_at FROM incident WHERE status <> 'resolved'
    UNION ALL
    SELECT opened_at FROM incident WHERE stage <> 'done'
    UNION ALL
    SELECT i.opened_at FROM held_incident h JOIN incident i ON i.id = h.incident_id
    UNION ALL
    SELECT i.opened_at FROM review r JOIN incident i ON i.id = r.incident_id WHERE r.waiting
    UNION ALL
    SELECT i.opened_at FROM breaker b JOIN incident i ON i.key = b.key
    WHERE b.failed_fixes >= %(breaker_limit)s OR b.unknown_fixes + b.undone_fixes > 0
), month AS (
    SELECT begins AT TIME ZONE 'UTC' AS begins, (begins + interval '1 month') AT TIME ZONE 'UTC' AS ends
    FROM generate_series((SELECT date_trunc('month', min(opened_at) AT TIME ZONE 'UTC') FROM incident),
                         (%(now)s - %(audit)s::interval) AT TIME ZONE 'UTC' - interval '1 month',
                         interval '1 month') begins
), over AS (
    SELECT m.begins, m.ends FROM month m
    WHERE NOT EXISTS (SELECT FROM kept k WHERE k.opened_at >= m.begins AND k.opened_at < m.ends)
      AND EXISTS (SELECT FROM incident i WHERE i.opened_at >= m.begins AND i.opened_at < m.ends)
      AND NOT EXISTS (SELECT FROM incident i WHERE i.opened_at >= m.begins AND i.opened_at < m.ends
                      AND greatest(i.seen_at, i.resolved_at) >= %(now)s - %(audit)s::interval)
    ORDER BY m.begins LIMIT 1
)
SELECT i.id, to_char(o.begins AT TIME ZONE 'UTC', 'YYYY-MM') AS month
FROM over o JOIN incident i ON i.opened_at >= o.begins AND i.opened_at < o.ends
ORDER BY i.opened_at LIMIT %(most)s;

-- name: drop_incidents
-- They go with all that belongs to them.
SELECT drop_incidents(%(ids)s::uuid[]);

-- name: expire_lone_notifications
-- Messages of no incident: summaries, digests, maintenance, pages that nothing came of.
DELETE FROM notification WHERE id IN (
    SELECT n.id FROM notification n
    WHERE n.incident_id IS NULL AND n.created_at < %(now)s - %(audit)s::interval
      AND n.status NOT IN ('due', 'sending')
      AND NOT EXISTS (SELECT FROM notification t WHERE t.summary_id = n.id)
      AND NOT EXISTS (SELECT FROM notification t WHERE t.fallback_of = n.id)
    ORDER BY n.created_at LIMIT %(most)s);

-- name: kept_partitions
-- What there is by partition, about how many rows and bytes, when it goes, and whether something in it is
-- needed for longer; the oldest first.
SELECT parent, name, begins, ends, goes_at, goes_at <= %(now)s AND partition_needed(parent, begins, ends) AS needed,
       greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
FROM (SELECT *, ends + CASE parent WHEN 'delivery' THEN %(deliveries)s::interval ELSE %(audit)s::interval END AS goes_at
      FROM partitions()) p
JOIN pg_class c ON c.oid = to_regclass('responder.' || quote_ident(p.name))
WHERE begins <= %(now)s
ORDER BY parent, begins;

-- name: hold_incident
-- Nothing of it may be deleted; twice is no mistake, the first reason stays.
INSERT INTO legal_hold (incident_id, at, actor, reason) VALUES (%(id)s, %(now)s, %(actor)s, %(reason)s)
ON CONFLICT DO NOTHING;

-- name: release_incident
-- It may be deleted again, when its time comes.
DELETE FROM legal_hold WHERE incident_id = %(id)s;

-- name: holds
-- What is held, since when, by whom and why; the newest first.
SELECT h.incident_id, i.title, i.opened_at, h.at, h.actor, h.reason
FROM legal_hold h JOIN incident i ON i.id = h.incident_id
ORDER BY h.at DESC, h.incident_id;
