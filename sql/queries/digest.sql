-- name: plan_digest
-- When the next digest is due; an earlier time stays, since that morning has not been told of yet.
UPDATE housekeeping SET digest_due_at = %(due_at)s
WHERE digest_due_at IS NULL OR digest_due_at > %(due_at)s;

-- name: lock_due_digest
-- The digest that is due, for whoever comes first.
SELECT greatest(digested_at, %(now)s - interval '7 days') AS since
FROM housekeeping WHERE digest_due_at <= %(now)s FOR UPDATE SKIP LOCKED;

-- name: digested
-- It is told up to now.
UPDATE housekeeping SET digested_at = %(now)s, digest_due_at = %(due_at)s;

-- name: digest_since
-- Up to when the last digest told, and when the next one is due.
SELECT greatest(digested_at, %(now)s - interval '7 days') AS since, digest_due_at AS due_at FROM housekeeping;

-- name: digest_incidents
-- What is open: what waits for a person, what was taken long ago, and all of P3; the gravest first.
SELECT * FROM (
    SELECT part, severity, title, target, rule, opened_at, acknowledged_by, acknowledged_at, action, option,
           opened_at > %(since)s AS is_new,
           count(*) OVER (PARTITION BY part) AS in_all,
           row_number() OVER (PARTITION BY part ORDER BY severity, opened_at, id) AS place
    FROM (
        SELECT i.*, d.action, d.option,
               CASE WHEN i.status = 'acknowledged' THEN 'taken'
                    WHEN i.severity = 'P3' THEN 'p3' ELSE 'waiting' END AS part
        FROM incident i LEFT JOIN decision d ON d.id = i.decision_id
        WHERE i.stage <> 'done' AND i.status <> 'resolved'
    ) o
    WHERE CASE part WHEN 'taken' THEN acknowledged_at < %(now)s - %(taken)s::interval
                    WHEN 'waiting' THEN action IN ('propose', 'hand_over') ELSE true END
) told
WHERE place <= %(most)s ORDER BY part, place;

-- name: digest_fixes
-- What the responder fixed by itself since then, the newest first.
SELECT i.title, f.target, f.rule, f.option, f.counts, f.verification, f.started_at, count(*) OVER () AS in_all
FROM fix f JOIN incident i ON i.id = f.incident_id
WHERE f.started_at > %(since)s AND f.actor_kind = 'responder' AND f.status = 'committed' AND NOT f.dry_run
ORDER BY f.started_at DESC, f.id LIMIT %(most)s;

-- name: digest_windows
-- Maintenance of the next day, and what waits for its list, with how many items are open in its lists.
SELECT w.name, w.reason, w.starts_at, w.ends_at, w.state, count(*) OVER () AS in_all,
    (SELECT count(*) FROM maintenance_item i
     WHERE i.window_id = w.id AND i.ticked_at IS NULL
       AND i.phase = CASE WHEN w.state = 'finishing' THEN 'after' ELSE 'before' END) AS open
FROM maintenance_window w
WHERE w.state IN ('announced', 'waiting', 'finishing') AND w.starts_at < %(now)s + interval '1 day'
ORDER BY w.starts_at, w.id LIMIT %(most)s;

-- name: digest_counts
-- P3 that began and ended, messages that nobody got, and deliveries that nobody understood, since then.
SELECT (SELECT count(*) FROM incident
        WHERE opened_at > %(since)s AND severity = 'P3' AND status = 'resolved') AS ended,
       (SELECT count(*) FROM notification WHERE status = 'dead' AND created_at > %(since)s) AS dead,
       (SELECT count(*) FROM delivery WHERE outcome = 'quarantined' AND received_at > %(since)s) AS quarantined;
