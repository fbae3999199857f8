-- name: ledger
-- Promise 1 in numbers: nothing accepted is without an outcome, nothing opened is without a next step.
SELECT u.*,
    (SELECT coalesce(sum(abs(d.alert_count - (SELECT count(*) FROM alert a WHERE a.delivery_id = d.id))), 0)
     FROM delivery d
     WHERE d.received_at > %(now)s - interval '1 hour' AND d.triaged_at IS NOT NULL) AS alerts_gap,
    (SELECT count(*) FROM incident i
     WHERE i.stage = 'done' AND i.status <> 'resolved') AS incidents_lost,
    (SELECT count(*) FROM incident i
     WHERE i.stage <> 'done'
       AND NOT EXISTS (
           SELECT FROM timer t
           WHERE t.incident_id = i.id AND t.what NOT IN ('escalate', 'acknowledged', 'unattended'))
       AND NOT EXISTS (
           SELECT FROM responder_jobs.procrastinate_jobs j
           WHERE j.task_name = 'walk' AND j.status IN ('todo', 'doing')
             AND j.args ->> 'incident' = i.id::text)) AS incidents_gap,
    (SELECT count(*) FROM notification WHERE status IN ('due', 'sending') AND due_at <= %(now)s)
        AS notifications_due,
    (SELECT count(*) FROM notification WHERE status = 'dead') AS notifications_dead
FROM (SELECT coalesce(sum(alert_count), 0) AS alerts_untriaged, count(*) AS deliveries_untriaged,
             extract(epoch FROM %(now)s - min(received_at)) AS oldest_untriaged_seconds
      FROM delivery WHERE triaged_at IS NULL) u;

-- name: incidents_by_stage
-- How many incidents are where.
SELECT severity, stage, count(*) AS incidents FROM incident WHERE stage <> 'done' GROUP BY severity, stage;

-- name: fixes_by_outcome
-- What fixes came to in the last day.
SELECT status, coalesce(verification, '') AS verification, count(*) AS fixes
FROM fix WHERE started_at > %(now)s - interval '1 day' AND NOT dry_run GROUP BY status, verification;

-- name: health
-- Whether ledger, workers and pages are well, cheaply enough for every few seconds.
SELECT %(now)s::timestamptz AS now,
    (SELECT count(*) FROM (
        SELECT FROM delivery WHERE triaged_at IS NULL AND received_at < %(now)s - %(overdue)s::interval
        LIMIT 1000) d) AS untriaged,
    (SELECT count(*) FROM incident i
     WHERE i.stage <> 'done'
       AND NOT EXISTS (
           SELECT FROM timer t
           WHERE t.incident_id = i.id AND t.what NOT IN ('escalate', 'acknowledged', 'unattended'))
       AND NOT EXISTS (
           SELECT FROM responder_jobs.procrastinate_jobs j
           WHERE j.task_name = 'walk' AND j.status IN ('todo', 'doing')
             AND j.args ->> 'incident' = i.id::text)) AS lost,
    (SELECT count(*) FROM notification
     WHERE page AND happening = 'opened'
       AND ((status IN ('due', 'sending') AND due_at < %(now)s - %(overdue)s::interval)
            OR (status = 'dead' AND created_at > %(now)s - interval '1 day'
                AND NOT EXISTS (SELECT FROM notification f
                                WHERE f.fallback_of = notification.id AND f.status = 'sent')))) AS pages,
    (SELECT count(*) FROM responder_jobs.procrastinate_workers
     WHERE last_heartbeat > now() - %(dead_after)s::interval) AS workers;

-- name: claim_ping
-- One process pings in each interval.
UPDATE housekeeping SET ping_claimed_at = %(now)s WHERE ping_claimed_at <= %(now)s - %(every)s::interval;

-- name: pinged
-- The dead man heard it.
UPDATE housekeeping SET pinged_at = %(now)s;
