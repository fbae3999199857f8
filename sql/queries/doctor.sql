-- name: vitals
-- Our database's server: its version, its size, how many connections are left, and whether what
-- is said on this one can be read on the way: NULL when there is none, on one host.
SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       current_setting('max_connections')::int AS most,
       CASE WHEN inet_client_addr() IS NULL OR inet_client_addr() = inet_server_addr() THEN NULL
            ELSE (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) END AS encrypted;

-- name: partitions_ahead
-- For how many days and months there are partitions already, and whether rows have missed theirs.
SELECT (SELECT count(*) FROM generate_series(1, 7) d
        WHERE to_regclass('delivery_' || to_char(
            (%(now)s::timestamptz + d * interval '1 day') AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL) AS days,
       (SELECT count(*) FROM generate_series(1, 2) m
        WHERE to_regclass('alert_' || to_char(
                  date_trunc('month', %(now)s::timestamptz AT TIME ZONE 'UTC') + m * interval '1 month', 'YYYYMM')) IS NOT NULL
          AND to_regclass('audit_event_' || to_char(
                  date_trunc('month', %(now)s::timestamptz AT TIME ZONE 'UTC') + m * interval '1 month', 'YYYYMM')) IS NOT NULL)
           AS months,
       EXISTS (SELECT FROM delivery_default) OR EXISTS (SELECT FROM alert_default) AS strays;

-- name: failed_jobs
-- Jobs that ended without success in the last day; their delivery or incident was taken up again.
SELECT count(*) AS failed FROM responder_jobs.procrastinate_jobs j
WHERE j.status = 'failed'
  AND EXISTS (SELECT FROM responder_jobs.procrastinate_events e
              WHERE e.job_id = j.id AND e.type = 'failed' AND e.at > now() - interval '1 day');

-- name: overdue_pages
-- Pages that should have left ten seconds ago; a failed attempt moves `due_at`.
SELECT count(*) AS pages, coalesce(extract(epoch FROM %(now)s - min(since)), 0)::float8 AS seconds
FROM (SELECT CASE WHEN attempts > 0 THEN created_at ELSE due_at END AS since FROM notification
      WHERE page AND happening = 'opened' AND status IN ('due', 'sending')) p
WHERE since < %(now)s - interval '10 s';

-- name: dead_notifications
-- What was given up, by receiver, with the latest reason.
SELECT receiver, count(*) AS dead, (array_agg(error ORDER BY created_at DESC))[1] AS error
FROM notification WHERE status = 'dead' GROUP BY receiver ORDER BY receiver;
