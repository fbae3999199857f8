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
-- A migration writes names without a schema.
SET LOCAL search_path = responder;

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
