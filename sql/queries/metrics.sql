-- name: queue_ages
-- How long the oldest of what is due has waited, in seconds; null where nothing waits.
SELECT
    (SELECT extract(epoch FROM %(now)s - min(due_at)) FROM notification
     WHERE status IN ('due', 'sending') AND due_at <= %(now)s) AS notification,
    (SELECT extract(epoch FROM now() - min(e.at))
     FROM (SELECT id FROM responder_jobs.procrastinate_jobs WHERE status = 'todo' ORDER BY id LIMIT 1) j
     JOIN responder_jobs.procrastinate_events e ON e.job_id = j.id) AS job;

-- name: stage_seconds
-- How long each stage took in the last 15 minutes, of its newest ten thousand.
WITH took (stage, seconds) AS (
    SELECT 'triage', triaged_at - received_at
    FROM (SELECT received_at, triaged_at, alert_count FROM delivery
          WHERE received_at > %(now)s - interval '15 minutes' ORDER BY received_at DESC LIMIT 10000) d
    WHERE triaged_at IS NOT NULL AND alert_count > 0
    UNION ALL
    SELECT 'decision', (SELECT min(at) FROM decision WHERE incident_id = i.id) - opened_at
    FROM (SELECT id, opened_at FROM incident
          WHERE opened_at > %(now)s - interval '15 minutes' ORDER BY opened_at DESC LIMIT 10000) i
    UNION ALL
    SELECT 'fix', ended_at - started_at
    FROM (SELECT started_at, ended_at FROM fix
          WHERE started_at > %(now)s - interval '15 minutes' AND status = 'committed' AND NOT dry_run
          ORDER BY started_at DESC LIMIT 10000) f
    UNION ALL
    SELECT 'verify', verified_at - ended_at
    FROM (SELECT ended_at, verified_at FROM fix
          WHERE started_at > %(now)s - interval '1 hour' AND verified_at > %(now)s - interval '15 minutes'
          ORDER BY started_at DESC LIMIT 10000) f
    UNION ALL
    SELECT 'page', sent_at - created_at
    FROM unnest(%(receivers)s::text[]) r
    CROSS JOIN LATERAL (
        SELECT * FROM notification n
        WHERE n.receiver = r AND n.status = 'sent' AND n.sent_at > %(now)s - interval '15 minutes'
        ORDER BY n.sent_at DESC LIMIT 10000) n
    -- one that waited for the end of its flap window was meant to
    WHERE n.page AND n.happening = 'opened' AND (n.attempts > 1 OR n.due_at < n.created_at + interval '2 s'))
SELECT stage, unnest(ARRAY['0.5', '0.95', '1']) AS quantile,
       unnest(percentile_disc(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM seconds))) AS seconds
FROM took WHERE seconds IS NOT NULL GROUP BY stage;

-- name: page_lateness
-- How late the pages of the last 15 minutes left, and how late those are that have not left.
-- A failed attempt moves `due_at`, so from the second attempt on it counts from the page's making.
WITH late (state, seconds) AS (
    SELECT 'sent', n.sent_at - CASE WHEN n.attempts > 1 THEN n.created_at ELSE n.due_at END
    FROM unnest(%(receivers)s::text[]) r
    CROSS JOIN LATERAL (
        SELECT * FROM notification n
        WHERE n.receiver = r AND n.status = 'sent' AND n.sent_at > %(now)s - interval '15 minutes'
        ORDER BY n.sent_at DESC LIMIT 10000) n
    WHERE n.page AND n.happening = 'opened'
    UNION ALL
    SELECT 'waiting', %(now)s - CASE WHEN attempts > 0 THEN created_at ELSE due_at END
    FROM notification
    WHERE page AND happening = 'opened' AND status IN ('due', 'sending') AND (attempts > 0 OR due_at <= %(now)s))
SELECT state, unnest(ARRAY['0.5', '0.95', '1']) AS quantile,
       unnest(percentile_disc(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM seconds))) AS seconds
FROM late GROUP BY state;

-- name: alert_outcomes
-- What became of the alerts of the last hour.
SELECT source, outcome, count(*) AS alerts FROM alert
WHERE received_at > %(now)s - interval '1 hour' GROUP BY source, outcome;

-- name: deliveries_quarantined
-- Deliveries of the last day that nobody could read.
SELECT source, count(*) AS deliveries FROM delivery
WHERE received_at > %(now)s - interval '1 day' AND outcome = 'quarantined' GROUP BY source;

-- name: notifications_by_status
-- Messages that wait or were given up, and those that were sent in the last day.
SELECT receiver, status, count(*) AS notifications FROM notification
WHERE status IN ('due', 'sending') GROUP BY receiver, status
UNION ALL
SELECT receiver, status, count(*) FROM notification WHERE status = 'dead' GROUP BY receiver, status
UNION ALL
SELECT r, 'sent', (SELECT count(*) FROM notification n
                   WHERE n.receiver = r AND n.status = 'sent' AND n.sent_at > %(now)s - interval '1 day')
FROM unnest(%(receivers)s::text[]) r;

-- name: receivers_by_state
-- How each receiver fares.
SELECT name AS receiver, sent, failed, failures, error, sent_at,
       coalesce(open_until > %(now)s, false) AS open
FROM receiver ORDER BY name;

-- name: sources_last_seen
-- When each source was last heard of; null where never.
-- With `source = s` PostgreSQL looks for a silent source from the newest delivery to the oldest; the
-- range leaves it no index but the one by source.
SELECT s AS source,
       (SELECT d.received_at FROM delivery d WHERE d.source >= s AND d.source <= s
        ORDER BY d.source DESC, d.received_at DESC LIMIT 1) AS last_seen
FROM unnest(%(sources)s::text[]) s ORDER BY s;

-- name: incidents_by_rule
-- Incidents opened in the last day; without a rule: none.
SELECT coalesce(rule, 'none') AS rule, count(*) AS incidents FROM incident
WHERE opened_at > %(now)s - interval '1 day' GROUP BY 1;

-- name: rules_failed
-- Incidents opened in the last day on whose answers the rule itself failed.
SELECT rule, count(*) AS incidents FROM incident
WHERE opened_at > %(now)s - interval '1 day' AND trouble = 'rule_failed' GROUP BY rule;

-- name: workers_alive
-- Worker processes that were heard of lately; each runs two loops, one of them for P0 and P1 alone.
SELECT (count(*) + 1) / 2 AS alive FROM responder_jobs.procrastinate_workers
WHERE last_heartbeat > now() - %(dead_after)s::interval;

-- name: dead_man_pinged
-- When the dead man was last told that all is well.
SELECT nullif(pinged_at, '-infinity') AS pinged_at FROM housekeeping;
