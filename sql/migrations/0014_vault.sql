-- What may hold personal data has one place each: raw bodies in raw_body, exact rows of fixes in
-- fix_image, both encrypted with a key that is not here. Bodies and rows that stand in the open in
-- `delivery` and `fix` stay readable; a worker encrypts them in small steps. The release before this
-- one goes on working: what it writes in the open meanwhile is encrypted likewise.
CREATE TABLE raw_body (
    delivery_id  uuid        NOT NULL,
    received_at  timestamptz NOT NULL,
    encrypted    bytea       NOT NULL,   -- of "raw_body <delivery_id>"
    PRIMARY KEY (received_at, delivery_id)
) PARTITION BY RANGE (received_at);
CREATE TABLE raw_body_default PARTITION OF raw_body DEFAULT;

ALTER TABLE delivery ALTER COLUMN body DROP NOT NULL,
    ADD COLUMN body_bytes int;

-- Up to where deliveries were searched for bodies in the open.
ALTER TABLE housekeeping ADD COLUMN encrypted_to timestamptz NOT NULL DEFAULT '2000-01-01Z';

CREATE OR REPLACE FUNCTION make_partitions(from_time timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    today  timestamp := date_trunc('day', from_time AT TIME ZONE 'UTC');
    begins timestamp;
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['delivery', 'raw_body'] LOOP
        FOR ahead IN 0..7 LOOP
            begins := today + ahead * interval '1 day';
            PERFORM make_partition(parent, parent || '_' || to_char(begins, 'YYYYMMDD'),
                begins AT TIME ZONE 'UTC', (begins + interval '1 day') AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
    FOREACH parent IN ARRAY ARRAY['alert', 'audit_event'] LOOP
        FOR ahead IN 0..2 LOOP
            begins := date_trunc('month', today) + ahead * interval '1 month';
            PERFORM make_partition(parent, parent || '_' || to_char(begins, 'YYYYMM'),
                begins AT TIME ZONE 'UTC', (begins + interval '1 month') AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
END $$;
SELECT make_partitions(now());

-- Whole days are dropped, which takes no time and leaves nothing on the disk. Who accepts a delivery
-- at this moment is not kept waiting: then the day is dropped an hour later. What is held stays.
CREATE FUNCTION drop_raw_bodies(before timestamptz) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = responder, pg_temp AS $$
DECLARE
    day text;
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    DELETE FROM raw_body_default r WHERE received_at < before
        AND NOT EXISTS (SELECT FROM held_delivery h WHERE h.received_at = r.received_at AND h.delivery_id = r.delivery_id);
    FOR day IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'raw_body'::regclass
          AND c.relname < 'raw_body_' || to_char(before AT TIME ZONE 'UTC', 'YYYYMMDD')
          AND c.relname ~ '^raw_body_\d{8}$'
          AND c.relname NOT IN (SELECT 'raw_body_' || to_char(h.received_at AT TIME ZONE 'UTC', 'YYYYMMDD')
                                FROM held_delivery h)
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE %I', day);
    END LOOP;
EXCEPTION WHEN lock_not_available THEN
    RAISE NOTICE 'raw bodies are dropped later';
END $$;
REVOKE EXECUTE ON FUNCTION drop_raw_bodies FROM PUBLIC;

-- The exact rows before and after a fix; `fix` carries them redacted, and their SHA-256.
CREATE TABLE fix_image (
    fix_id      uuid        PRIMARY KEY REFERENCES fix ON DELETE CASCADE,
    encrypted   bytea       NOT NULL,    -- of "fix_image <fix_id>"
    expires_at  timestamptz NOT NULL
);
CREATE INDEX fix_image_expires_at ON fix_image (expires_at);
ALTER TABLE fix ADD COLUMN image_sha256 bytea;
CREATE INDEX fix_in_the_open ON fix (id)
    WHERE image_sha256 IS NULL AND (before_rows <> '[]' OR after_rows <> '[]');
