-- Proof of what was done: digests of the rows that events record, the queue of events that wait for their
-- seal, the seals, where their copies stand, and the sources of rules. Running older code goes on working
-- beside it: all of it is fed by triggers.

-- Old events are sealed, too, in portions; they are told apart by this column, which costs no rewrite.
ALTER TABLE audit_event ADD COLUMN queued boolean NOT NULL DEFAULT false;
ALTER TABLE audit_event ALTER COLUMN queued SET DEFAULT true;

-- Events that are committed and in no seal yet.
CREATE TABLE unsealed (
    id         uuid        PRIMARY KEY,
    filed_at   timestamptz NOT NULL,
    queued_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION await_seal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = responder, pg_temp AS $$
BEGIN
    INSERT INTO unsealed (id, filed_at) VALUES (NEW.id, NEW.filed_at);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_event_await_seal AFTER INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION await_seal();

-- How far the events from before this migration were put into the queue; one row for ever.
CREATE TABLE seal_backlog (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    filed_at  timestamptz NOT NULL,
    id        uuid        NOT NULL,
    done      boolean     NOT NULL,
    begun_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO seal_backlog (filed_at, id, done)
SELECT '-infinity', '00000000-0000-0000-0000-000000000000', NOT EXISTS (SELECT FROM audit_event);

-- One seal over the events that it names; what is signed is said by responder.domain.seal.
CREATE TABLE seal (
    number             bigint         PRIMARY KEY,
    at                 timestamptz    NOT NULL,
    events             int            NOT NULL,
    filed_from         timestamptz    NOT NULL,     -- of its events
    filed_to           timestamptz    NOT NULL,
    root               bytea          NOT NULL,     -- of the Merkle tree over `leaves`
    previous           bytea          NOT NULL,     -- digest of the seal before
    system_identifier  text           NOT NULL,     -- the server that it was made on
    timeline           int            NOT NULL,
    kid                text           NOT NULL,
    signature          bytea          NOT NULL,
    filed              timestamptz[]  NOT NULL,     -- the events, in the order of the leaves
    ids                uuid[]         NOT NULL,
    leaves             bytea          NOT NULL      -- 32 bytes for each
);
CREATE INDEX seal_at ON seal (at);
CREATE INDEX seal_filed_to ON seal (filed_to);

-- How far the copy outside has come.
CREATE TABLE seal_copy (
    place          text         PRIMARY KEY,
    number         bigint       NOT NULL DEFAULT 0,     -- the last seal that it has
    claimed_until  timestamptz  NOT NULL,               -- until then one process writes to it
    copied_at      timestamptz,
    failures       int          NOT NULL DEFAULT 0,     -- in a row
    error          text         NOT NULL DEFAULT ''
);

CREATE TRIGGER seal_append_only BEFORE UPDATE OR DELETE ON seal
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER seal_no_truncate BEFORE TRUNCATE ON seal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The code of each version of a rule that was ever loaded: which code did it.
CREATE TABLE rule_source (
    checksum   text         PRIMARY KEY,
    rule       text         NOT NULL,
    module     bytea        NOT NULL,
    sql        bytea        NOT NULL,
    seen_at    timestamptz  NOT NULL DEFAULT now()
);

-- A UUIDv7, as responder.domain.ids makes them.
CREATE FUNCTION new_event_id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE
RETURN (SELECT encode(substring(int8send(micros / 1000) FROM 3)
                      || set_byte(set_byte('\x0000', 0, 112 | (fraction >> 8)), 1, fraction & 255)
                      || substring(uuid_send(gen_random_uuid()) FROM 9), 'hex')::uuid
        FROM (SELECT (extract(epoch FROM at) * 1000000)::bigint AS micros) m,
             LATERAL (SELECT (micros % 1000 * 4096 / 1000)::int AS fraction) f);

-- The SHA-256 of a row by the columns that are named: what responder.domain.witnessed says again.
CREATE FUNCTION row_sha256(content jsonb, columns text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT encode(sha256(convert_to(jsonb_object_agg(c, content -> c)::text, 'UTF8')), 'hex')
        FROM unnest(columns) c);

-- Each change of a row that proves what was done is an event with its SHA-256 before and after. The event
-- of the change itself, which people read, is in the same transaction.
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = responder, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    content  jsonb := to_jsonb(NEW);
    columns  text[] := string_to_array(TG_ARGV[2], ' ');
    before   text;
    after    text := row_sha256(content, columns);
    moment   timestamptz := clock_timestamp();
    named    text := TG_TABLE_NAME || ' ' || (
        SELECT string_agg(content ->> k, '/' ORDER BY n)
        FROM unnest(string_to_array(TG_ARGV[1], ' ')) WITH ORDINALITY u(k, n));
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := row_sha256(to_jsonb(OLD), columns);
        IF before = after THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO audit_event (filed_at, id, at, actor_kind, actor, what, incident_id, subject, before, after,
                             details, code_version)
    SELECT coalesce(i.opened_at, moment), new_event_id(moment), moment, 'system', session_user, 'row', i.id, named,
           before, after, jsonb_build_object('columns', TG_ARGV[0]::int), ''
    FROM (SELECT (content ->> 'incident_id')::uuid AS id) n LEFT JOIN incident i ON i.id = n.id;
    RETURN NULL;
END $$;
CREATE TRIGGER answer_witness AFTER INSERT OR UPDATE ON answer FOR EACH ROW EXECUTE FUNCTION witness(
    1, 'incident_id attempt position',
    'incident_id attempt position name question target sql parameters status answer');
CREATE TRIGGER decision_witness AFTER INSERT OR UPDATE ON decision FOR EACH ROW EXECUTE FUNCTION witness(
    1, 'id',
    'id incident_id rule_checksum at attempt action reason sentence finding option parameters findings facts');
CREATE TRIGGER fix_witness AFTER INSERT OR UPDATE ON fix FOR EACH ROW EXECUTE FUNCTION witness(
    1, 'id',
    'id incident_id decision_id key rule rule_checksum option target parameters actor_kind actor severity status'
    ' attempt reason dry_run undoes statements xid system_identifier timeline counts before_rows after_rows'
    ' left_rows image_sha256 verification verified_at started_at recorded_at ended_at');
CREATE TRIGGER note_witness AFTER INSERT OR UPDATE ON note FOR EACH ROW EXECUTE FUNCTION witness(
    1, 'id', 'id incident_id at actor body');

-- People search the audit. `ON ONLY`: without a lock for long; `responder migrate` then makes them on each
-- partition that is there already, one after the other, while everything works.
CREATE INDEX audit_event_at ON ONLY audit_event (at, id);
CREATE INDEX audit_event_actor ON ONLY audit_event (actor, at, id);
CREATE INDEX audit_event_what ON ONLY audit_event (what, at, id);
CREATE INDEX audit_event_subject ON ONLY audit_event (subject, at, id);
CREATE INDEX incident_target ON incident (target, opened_at DESC, id DESC) WHERE target IS NOT NULL;

-- Partitions are made also by a role that owns nothing of this (docs/audit.md).
ALTER FUNCTION make_partitions(timestamptz) SECURITY DEFINER SET search_path = responder, pg_temp;

-- All that the responder needs of a role that owns nothing here: what proves something it may add and never
-- change. To be called again after later migrations.
CREATE FUNCTION grant_to(role name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    each record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA responder, responder_jobs TO %I', role);
    FOR each IN
        SELECT c.oid::regclass AS name, CASE
            WHEN c.relname = 'migration' OR c.relkind = 'v' OR c.relispartition THEN 'SELECT'
            WHEN c.relname IN ('audit_event', 'answer', 'decision', 'note', 'seal', 'rule_source')
                THEN 'SELECT, INSERT'
            WHEN c.relname = 'fix' THEN 'SELECT, INSERT, UPDATE'
            ELSE 'SELECT, INSERT, UPDATE, DELETE' END AS rights
        FROM pg_class c
        WHERE c.relnamespace IN ('responder'::regnamespace, 'responder_jobs'::regnamespace)
          AND c.relkind IN ('r', 'p', 'v')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %I', each.name, role);
        EXECUTE format('GRANT %s ON %s TO %I', each.rights, each.name, role);
    END LOOP;
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA responder, responder_jobs TO %I', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION responder.drop_partition, responder.drop_incidents,'
                   ' responder.drop_raw_bodies TO %I', role);
END $$;
