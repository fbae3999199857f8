-- name: begin
-- The limits of a session outside of transactions: a backend whose asker was killed leaves at once,
-- one whose asker stands still soon, and with it the lock; whoever waits for a lock gives up.
SELECT set_config('lock_timeout', %(lock_ms)s::text, false),
       set_config('row_security', 'off', false),
       CASE WHEN current_setting('server_version_num')::int >= 140000
            THEN set_config('client_connection_check_interval', '500', false) END,
       CASE WHEN current_setting('server_version_num')::int >= 140000
            THEN set_config('idle_session_timeout', %(idle_ms)s::text, false) END;

-- name: lock
-- Only one fix of a key at a time, whoever makes it and however; free when the session ends.
SELECT pg_try_advisory_lock(hashtextextended('responder:fix:' || %(key)s, 0)) AS got,
       pg_is_in_recovery() AS standby, system_identifier::text AS system_identifier,
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline
FROM pg_control_system();

-- name: lock_alone
-- Only one work outside of transactions at a time on this database.
SELECT pg_try_advisory_lock(hashtextextended(%(lock)s::text, 0)) AS got;

-- name: limit
-- How long the next statement may take.
SELECT set_config('statement_timeout', %(statement_ms)s::text, false);
