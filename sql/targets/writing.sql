-- name: begin
-- The limits of a fix's transaction, and to whom functions that ask auth.uid() count it; for this
-- transaction only. A setting that never was set would stay behind as an empty one, so it is left alone.
-- Floats are written with all their digits, whatever the role is set to.
SELECT set_config('statement_timeout', %(statement_ms)s::text, true),
       set_config('lock_timeout', %(lock_ms)s::text, true),
       set_config('idle_in_transaction_session_timeout', '10000', true),
       set_config('synchronous_commit', 'on', true),
       set_config('row_security', 'off', true),
       set_config('extra_float_digits', '1', true),
       CASE WHEN coalesce(current_setting('request.jwt.claims', true), '') <> %(claims)s::text
            THEN set_config('request.jwt.claims', %(claims)s::text, true) END;

-- name: lock
-- Only one fix of a key at a time, whoever makes it; free when the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('responder:fix:' || %(key)s, 0)) AS got,
       pg_is_in_recovery() AS standby;

-- name: identity
-- Which transaction this is, on which server and timeline: what is needed to ask for its fate later.
SELECT pg_current_xact_id()::text AS xid, system_identifier::text AS system_identifier,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline,
       %(bound)s::text AS bound
FROM pg_control_system();

-- name: counters
-- Rows that this transaction changed so far, by table, through triggers and cascades too.
SELECT CASE schemaname WHEN 'public' THEN relname ELSE schemaname || '.' || relname END AS name,
       n_tup_ins + n_tup_upd + n_tup_del AS changed
FROM pg_stat_xact_user_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND %(bound)s::text <> '';

-- name: altered
-- Tables that this transaction has emptied or altered, which no counter of rows shows: nothing else
-- locks them so.
SELECT DISTINCT coalesce(CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,
                         l.relation::text) AS name  -- what was dropped has no name any more
FROM pg_locks l
LEFT JOIN pg_class c ON c.oid = l.relation
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
  AND coalesce(c.relkind, 'r') IN ('r', 'p', 'f', 'm') AND %(bound)s::text <> ''
ORDER BY name;

-- name: check_constraints
-- What is deferred to the commit happens now, where it can still be rolled back.
SET CONSTRAINTS ALL IMMEDIATE;

-- name: flush
-- A commit of another session writes the WAL out, so that this xid is never handed out again.
SELECT pg_logical_emit_message(true, 'responder', %(fix)s::text);

-- name: fate
-- What became of a transaction, and on which server this is asked.
SELECT pg_xact_status(%(xid)s::text::xid8) AS fate, pg_is_in_recovery() AS standby;

-- name: server
-- Which server answers.
SELECT system_identifier::text AS system_identifier, pg_is_in_recovery() AS standby,
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline
FROM pg_control_system() WHERE %(bound)s::text <> '';
