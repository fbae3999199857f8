-- name: statistics
-- Where does pg_stat_statements lie, does this login find it, and may it read what others run?
SELECT (
        SELECT n.nspname
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements'
    ) AS schema,
    to_regclass('pg_stat_statements') IS NOT NULL AS found,
    current_user AS login,
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all;

-- name: statements
-- Which statements of this database take longer than a second on average? The 20 slowest.
-- Literals are taken out, since utility statements keep theirs. Upkeep takes its time.
SELECT left(regexp_replace(regexp_replace(left(query, 4000), '''[^'']*''', '''?''', 'g'),
        '\s+', ' ', 'g'), 1000) AS query,
    calls, round(mean_exec_time)::bigint AS mean_ms, round(max_exec_time)::bigint AS max_ms,
    round(total_exec_time)::bigint AS total_ms, pg_get_userbyid(userid) AS login
FROM pg_stat_statements
WHERE mean_exec_time > 1000
    AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND query !~* '^\s*(vacuum|analyze|create|alter|drop|reindex|cluster|refresh|copy)\M'
ORDER BY mean_exec_time DESC
LIMIT 20;

-- name: scans
-- Which columns have many values and no index that begins with them, in tables that are often read
-- from end to end? Foreign keys first, then those whose order says least where a row lies.
SELECT format('%%I.%%I', schemaname, relname) AS table_name, attname AS column_name, is_key,
    round(distinct_values) AS distinct_values, round(correlation::numeric, 2) AS correlation,
    seq_scan AS scans, seq_tup_read / nullif(seq_scan, 0) AS rows_per_scan
FROM (
    SELECT t.*, s.attname, s.correlation,
        CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * r.reltuples ELSE s.n_distinct END
            AS distinct_values,
        EXISTS (
            SELECT FROM pg_constraint c
            WHERE c.conrelid = t.relid AND c.contype = 'f' AND c.conkey[1] = a.attnum
        ) AS is_key
    FROM pg_stat_user_tables t
    JOIN pg_class r ON r.oid = t.relid
    JOIN pg_stats s ON s.schemaname = t.schemaname AND s.tablename = t.relname AND NOT s.inherited
    JOIN pg_attribute a ON a.attrelid = t.relid AND a.attname = s.attname
    WHERE t.seq_scan >= 10 AND t.seq_tup_read >= 1000 * t.seq_scan
        AND NOT EXISTS (
            SELECT FROM pg_index i
            WHERE i.indrelid = t.relid AND i.indisvalid AND i.indkey[0] = a.attnum
        )
) columns
WHERE is_key OR distinct_values > 100
ORDER BY seq_tup_read DESC, is_key DESC, coalesce(abs(correlation), 0) < 0.1 DESC,
    distinct_values DESC
LIMIT 20;

-- name: dead_rows
-- Which tables hold more dead rows than autovacuum should leave, a fifth of the living?
SELECT format('%%I.%%I', schemaname, relname) AS table_name, n_live_tup AS live_rows,
    n_dead_tup AS dead_rows, greatest(last_vacuum, last_autovacuum) AS vacuumed_at,
    greatest(last_analyze, last_autoanalyze) AS analyzed_at
FROM pg_stat_user_tables
WHERE n_dead_tup >= 1000 AND n_dead_tup >= 0.2 * n_live_tup
ORDER BY n_dead_tup DESC
LIMIT 20;

-- name: sizes
-- Which tables are the largest, with their indexes and what lies beside them? The first 20.
SELECT format('%%I.%%I', schemaname, relname) AS table_name, pg_size_pretty(bytes) AS size, bytes,
    greatest(reltuples, 0)::bigint AS about_rows
FROM (
    SELECT t.schemaname, t.relname, r.reltuples, pg_total_relation_size(r.oid) AS bytes
    FROM pg_stat_user_tables t JOIN pg_class r ON r.oid = t.relid
) sized
WHERE bytes IS NOT NULL
ORDER BY bytes DESC
LIMIT 20;

-- name: old_rows
-- How many log lines are older than 90 days, and how many lots were completed more than six months
-- ago? Nobody counts beyond 100,000; a lot is at least as old as its completion. Until which row
-- does the first batch of each go?
WITH logs AS (
    SELECT created_at, id, row_number() OVER (ORDER BY created_at, id) AS place
    FROM system_logs
    WHERE created_at < now() - interval '90 days'
    ORDER BY created_at, id
    LIMIT 100000
), lots AS (
    SELECT created_at, id, row_number() OVER (ORDER BY created_at, id) AS place
    FROM intake_lots
    WHERE status = 'completed' AND created_at < now() - interval '6 months'
        AND completed_at < now() - interval '6 months'
    ORDER BY created_at, id
    LIMIT 100000
)
SELECT 'system_logs' AS table_name, 'older than 90 days' AS which, count(*) AS rows,
    count(*) = 100000 AS capped, max(created_at) FILTER (WHERE place <= 10000) AS until,
    (SELECT id FROM logs WHERE place <= 10000 ORDER BY place DESC LIMIT 1) AS until_id
FROM logs
UNION ALL
SELECT 'intake_lots', 'completed more than six months ago', count(*), count(*) = 100000,
    max(created_at) FILTER (WHERE place <= 5000),
    (SELECT id FROM lots WHERE place <= 5000 ORDER BY place DESC LIMIT 1)
FROM lots;

-- name: index_sku
-- Build the index for searches by SKU while everybody goes on working.
CREATE INDEX CONCURRENTLY idx_intake_items_sku ON intake_items (sku) WHERE deleted_at IS NULL;

-- name: index_sku_check
-- Is the index there, and valid? Invalid it is half done, unless somebody is at work on the table.
SELECT CASE
    WHEN i.indexrelid IS NULL THEN 'not_done'
    WHEN i.indisvalid THEN 'done'
    WHEN EXISTS (
        SELECT FROM pg_locks l
        WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock'
            AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) THEN 'at_work'
    ELSE 'half_done'
END AS state
FROM (SELECT to_regclass('idx_intake_items_sku') AS name) wanted
LEFT JOIN pg_index i ON i.indexrelid = wanted.name;

-- name: index_sku_cleanup
-- Drop the invalid index that a failed build leaves.
DROP INDEX CONCURRENTLY IF EXISTS idx_intake_items_sku;

-- name: index_lot_id
-- Build the index for the items of a lot while everybody goes on working.
CREATE INDEX CONCURRENTLY idx_intake_items_lot_id ON intake_items (lot_id) WHERE deleted_at IS NULL;

-- name: index_lot_id_check
-- Is the index there, and valid? Invalid it is half done, unless somebody is at work on the table.
SELECT CASE
    WHEN i.indexrelid IS NULL THEN 'not_done'
    WHEN i.indisvalid THEN 'done'
    WHEN EXISTS (
        SELECT FROM pg_locks l
        WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock'
            AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) THEN 'at_work'
    ELSE 'half_done'
END AS state
FROM (SELECT to_regclass('idx_intake_items_lot_id') AS name) wanted
LEFT JOIN pg_index i ON i.indexrelid = wanted.name;

-- name: index_lot_id_cleanup
-- Drop the invalid index that a failed build leaves.
DROP INDEX CONCURRENTLY IF EXISTS idx_intake_items_lot_id;

-- name: vacuum_tables
-- Free what dead rows hold, and tell the planner what the tables look like.
VACUUM (ANALYZE) intake_items, shopify_sync_queue, system_logs;

-- name: vacuum_tables_check
-- Has none of the three more dead rows than autovacuum should leave?
SELECT CASE WHEN EXISTS (
    SELECT FROM pg_stat_user_tables
    WHERE relid IN (
            to_regclass('intake_items'), to_regclass('shopify_sync_queue'), to_regclass('system_logs')
        )
        AND n_dead_tup >= 1000 AND n_dead_tup >= 0.2 * n_live_tup
) THEN 'not_done' ELSE 'done' END AS state;

-- name: vacuum_tables_cleanup
-- A vacuum that was interrupted leaves nothing behind.
SELECT 'nothing is half done';

-- name: archive_logs
-- Delete one batch of old log lines, the oldest first.
DELETE FROM system_logs
WHERE created_at < now() - interval '90 days'
    AND (created_at, id) <= (%(logs_until)s::timestamptz, %(logs_until_id)s::uuid)
RETURNING id;

-- name: archive_logs_before
-- The log lines of the batch, by their ids alone.
SELECT id FROM system_logs
WHERE created_at < now() - interval '90 days'
    AND (created_at, id) <= (%(logs_until)s::timestamptz, %(logs_until_id)s::uuid);

-- name: archive_logs_verify
-- No line of the batch is left.
SELECT NOT EXISTS (
    SELECT FROM system_logs
    WHERE created_at < now() - interval '90 days'
        AND (created_at, id) <= (%(logs_until)s::timestamptz, %(logs_until_id)s::uuid)
) AS gone;

-- name: archive_lots
-- Archive one batch of lots that were completed long ago, the oldest first.
UPDATE intake_lots SET status = 'archived'
WHERE status = 'completed' AND completed_at < now() - interval '6 months'
    AND (created_at, id) <= (%(lots_until)s::timestamptz, %(lots_until_id)s::uuid)
RETURNING id;

-- name: archive_lots_before
-- The lots of the batch, locked, by their ids alone.
SELECT id FROM intake_lots
WHERE status = 'completed' AND completed_at < now() - interval '6 months'
    AND (created_at, id) <= (%(lots_until)s::timestamptz, %(lots_until_id)s::uuid)
FOR UPDATE;

-- name: archive_lots_verify
-- No lot of the batch is left.
SELECT NOT EXISTS (
    SELECT FROM intake_lots
    WHERE status = 'completed' AND completed_at < now() - interval '6 months'
        AND (created_at, id) <= (%(lots_until)s::timestamptz, %(lots_until_id)s::uuid)
) AS gone;
