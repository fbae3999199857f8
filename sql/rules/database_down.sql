-- name: server
-- In which state is the server, since when, and how many of its connections are taken?
SELECT
    pg_is_in_recovery() AS in_recovery,
    -- What the sessions of others get: ours may say so for themselves.
    EXISTS (
        SELECT FROM pg_settings
        WHERE name = 'default_transaction_read_only' AND setting = 'on'
            AND source NOT IN ('client', 'session', 'user', 'database user')
    ) AS read_only,
    pg_postmaster_start_time() AS started_at,
    current_setting('server_version') AS version,
    sum(sessions)::int AS used,
    -- Slots that ordinary logins can have; `reserved_connections` is new in PostgreSQL 16.
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS available,
    jsonb_object_agg(state, sessions) AS by_state
FROM (
    SELECT coalesce(state, 'unknown') AS state, count(*) AS sessions
    FROM pg_stat_activity
    WHERE backend_type = 'client backend'
    GROUP BY 1
) states;

-- name: activity
-- Who blocks whom, and which transactions have been open the longest?
SELECT pid, usename, application_name, state, wait_event_type, wait_event, blocked_by,
    extract(epoch FROM now() - xact_start)::int AS transaction_seconds,
    left(query, 200) AS query
FROM (
    SELECT *, CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END AS blocked_by
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
) sessions
ORDER BY cardinality(blocked_by) DESC, xact_start
LIMIT 20;

-- name: space
-- Can the server still write a temporary file? A sort of a few hundred kB that may use 64 kB.
SELECT sorted.rows, small.work_mem
FROM (SELECT set_config('work_mem', '64kB', true) AS work_mem) small
CROSS JOIN LATERAL (
    SELECT count(*) AS rows
    FROM (
        SELECT n FROM generate_series(1, 20000 + 0 * length(small.work_mem)) n ORDER BY md5(n::text)
        OFFSET 0
    ) written
) sorted;
