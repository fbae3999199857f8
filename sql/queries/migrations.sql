-- name: now
-- The clock of our database, which all hosts share.
SELECT clock_timestamp() AS now;

-- name: lock_migrations
-- Only one process migrates at a time; the others wait and then find nothing to do.
SELECT pg_advisory_lock(%(lock)s);

-- name: unlock_migrations
-- The next process may look.
SELECT pg_advisory_unlock(%(lock)s);

-- name: make_schema
-- Everything of ours lives in one schema.
CREATE SCHEMA IF NOT EXISTS responder;

-- name: use_schema
-- A migration writes names without a schema, and tries for its locks for so long.
SELECT set_config('search_path', 'responder', true), set_config('lock_timeout', %(patience)s, true);

-- name: make_migration_table
-- What was applied, with the checksum of the file as it was then.
CREATE TABLE IF NOT EXISTS responder.migration (
    number      int         PRIMARY KEY,
    name        text        NOT NULL,
    checksum    text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- name: migration_table
-- Whether the database was ever migrated.
SELECT to_regclass('responder.migration')::text;

-- name: applied_migrations
-- All that was applied.
SELECT number, name, checksum FROM responder.migration ORDER BY number;

-- name: insert_migration
-- One more applied.
INSERT INTO responder.migration (number, name, checksum)
VALUES (%(number)s, %(name)s, %(checksum)s);

-- name: system_identifier
-- Which server this is.
SELECT system_identifier FROM pg_control_system();

-- name: migrated
-- Whether there is a schema of ours at all.
SELECT to_regclass('responder.autofix') IS NOT NULL AS migrated;

-- name: unfinished_indexes
-- Indexes of partitioned tables that a partition lacks: what makes each of them there, without a lock for long.
SELECT CASE WHEN made.indexrelid IS NOT NULL AND NOT made.indisvalid THEN
           format('DROP INDEX CONCURRENTLY responder.%I', p.relname || substr(x.relname, length(t.relname) + 1)) END
           AS drop,
       regexp_replace(
           pg_get_indexdef(x.oid), 'INDEX \S+ ON ONLY \S+ ',
           format('INDEX CONCURRENTLY IF NOT EXISTS %I ON %s ',
                  p.relname || substr(x.relname, length(t.relname) + 1), p.oid::regclass)) AS make,
       format('ALTER INDEX responder.%I ATTACH PARTITION responder.%I',
              x.relname, p.relname || substr(x.relname, length(t.relname) + 1)) AS attach
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_inherits h ON h.inhparent = t.oid JOIN pg_class p ON p.oid = h.inhrelid
LEFT JOIN pg_class m ON m.relname = p.relname || substr(x.relname, length(t.relname) + 1)
    AND m.relnamespace = 'responder'::regnamespace
LEFT JOIN pg_index made ON made.indexrelid = m.oid
WHERE x.relkind = 'I' AND NOT i.indisvalid AND x.relnamespace = 'responder'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_inherits a JOIN pg_index c ON c.indexrelid = a.inhrelid
                  WHERE a.inhparent = x.oid AND c.indrelid = p.oid)
ORDER BY x.relname, p.relname;

-- name: grant_to
-- What the responder needs, for a role that owns nothing.
SELECT responder.grant_to(%(role)s);
