-- Circuits and rates of receivers, summaries, notes, tokens, idempotency keys, and look-ups by the
-- pager's key and by source. Running 0001 code goes on working beside it.

-- The pager's key of an incident; responder.domain.incident.dedup_key says the same.
CREATE FUNCTION dedup_key(key text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'responder-' || left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 32);
CREATE INDEX incident_dedup_key ON incident (dedup_key(key), opened_at DESC);

ALTER TABLE notification DROP CONSTRAINT notification_happening_check;
ALTER TABLE notification ADD CONSTRAINT notification_happening_check CHECK (happening IN
    ('opened', 'acknowledged', 'updated', 'resolved', 'summary'));
ALTER TABLE notification
    ADD COLUMN repeated boolean NOT NULL DEFAULT false,      -- an earlier attempt may have arrived
    ADD COLUMN fallback_of uuid REFERENCES notification,     -- the page that its receiver did not take
    ADD COLUMN summary_id uuid REFERENCES notification;      -- the summary that tells it instead
CREATE INDEX notification_sent ON notification (receiver, sent_at) WHERE status = 'sent';
CREATE INDEX notification_fallback ON notification (fallback_of) WHERE fallback_of IS NOT NULL;

-- How each receiver fares, over all hosts.
CREATE TABLE receiver (
    name         text         PRIMARY KEY,
    failures     int          NOT NULL DEFAULT 0,   -- in a row
    open_until   timestamptz,                       -- its circuit: until then it is left alone
    sent         bigint       NOT NULL DEFAULT 0,
    failed       bigint       NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    failed_at    timestamptz,
    error        text         NOT NULL DEFAULT ''
);

CREATE INDEX delivery_source ON delivery (source, received_at);

CREATE TABLE note (
    id           uuid        PRIMARY KEY,
    incident_id  uuid        NOT NULL REFERENCES incident,
    at           timestamptz NOT NULL,
    actor        text        NOT NULL,
    body         text        NOT NULL
);
CREATE INDEX note_incident ON note (incident_id, at);

CREATE TABLE token (
    id           uuid        PRIMARY KEY,           -- the token's `jti`
    name         text        NOT NULL,
    role         text        NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    issued_at    timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    revoked_by   text
);

-- The same request of the same caller gives the same fix.
CREATE TABLE idempotency_key (
    caller       text        NOT NULL,
    key          text        NOT NULL,
    request      bytea       NOT NULL,              -- SHA-256 of what was asked
    fix_id       uuid        NOT NULL REFERENCES fix,
    at           timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_key_at ON idempotency_key (at);

ALTER TABLE maintenance_window
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN ended_by text;

ALTER TABLE housekeeping ADD COLUMN pinged_at timestamptz NOT NULL DEFAULT '-infinity';

-- Metrics ask for the newest of these, however many there are.
CREATE INDEX fix_started_at ON fix (started_at);
CREATE INDEX delivery_quarantined ON delivery (received_at) WHERE outcome = 'quarantined';
