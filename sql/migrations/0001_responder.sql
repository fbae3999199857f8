-- Everything of ours: deliveries, alerts, conditions, incidents, answers, decisions, fixes,
-- notifications, timers and the audit. The closed lists of DESIGN 3 are the CHECKs.

CREATE TABLE delivery (
    id           uuid        NOT NULL,
    received_at  timestamptz NOT NULL,
    source       text        NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'quarantined')),
    body         bytea       NOT NULL,
    body_sha256  bytea       NOT NULL,
    headers      jsonb       NOT NULL,
    notices      jsonb       NOT NULL,             -- alerts as accept normalised them
    alert_count  int         NOT NULL,
    page_due_at  timestamptz,                      -- set when an alert in it is P0 or P1
    triaged_at   timestamptz,
    note         text        NOT NULL DEFAULT '',  -- why it is quarantined
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);
CREATE TABLE delivery_default PARTITION OF delivery DEFAULT;
CREATE INDEX delivery_id ON delivery (id);
CREATE INDEX delivery_untriaged ON delivery (received_at) WHERE triaged_at IS NULL;
CREATE INDEX delivery_page_due ON delivery (page_due_at)
    WHERE triaged_at IS NULL AND page_due_at IS NOT NULL;

CREATE TABLE delivery_key (
    source       text        NOT NULL,
    key          text        NOT NULL,
    delivery_id  uuid        NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (source, key)
);
CREATE INDEX delivery_key_received_at ON delivery_key (received_at);

CREATE TABLE incident (
    id                   uuid        PRIMARY KEY,
    key                  text        NOT NULL,
    title                text        NOT NULL,
    source               text        NOT NULL,
    rule                 text,
    rule_checksum        text,
    target               text,
    parameters           jsonb       NOT NULL,
    labels               jsonb       NOT NULL,
    status               text        NOT NULL CHECK (status IN ('open', 'acknowledged', 'resolved')),
    stage                text        NOT NULL CHECK (stage IN
        ('triage', 'diagnose', 'plan', 'fix', 'verify', 'watch', 'done')),
    severity             text        NOT NULL CHECK (severity IN ('P0', 'P1', 'P2', 'P3')),
    declared_severity    text        CHECK (declared_severity IN ('P0', 'P1', 'P2', 'P3')),
    severity_unreadable  boolean     NOT NULL,
    attempt              int         NOT NULL DEFAULT 0,      -- the fence of the walk
    walking              boolean     NOT NULL DEFAULT false,  -- a job for it is queued or running
    again                boolean     NOT NULL DEFAULT false,  -- whoever ends the walk starts again
    looked_again         int         NOT NULL DEFAULT 0,
    updates              int         NOT NULL DEFAULT 0,
    trouble              text        NOT NULL DEFAULT '',     -- reason to hand over, whatever is found
    trouble_detail       text        NOT NULL DEFAULT '',
    findings             jsonb       NOT NULL DEFAULT '[]',
    decision_id          uuid,
    opened_at            timestamptz NOT NULL,
    seen_at              timestamptz NOT NULL,
    acknowledged_at      timestamptz,
    acknowledged_by      text,
    resolved_at          timestamptz,
    resolved_by          text        CHECK (resolved_by IN ('sender', 'person', 'quiet')),
    paged_at             timestamptz,
    CHECK (status <> 'resolved' OR resolved_at IS NOT NULL)
);
CREATE UNIQUE INDEX incident_open_key ON incident (key) WHERE status <> 'resolved';
CREATE INDEX incident_key ON incident (key, opened_at DESC);
CREATE INDEX incident_newest ON incident (opened_at DESC, id DESC);
CREATE INDEX incident_not_done ON incident (target, severity) WHERE stage <> 'done';

CREATE TABLE condition (
    source       text        NOT NULL,
    fingerprint  text        NOT NULL,
    fired_at     timestamptz,
    fired_seen   timestamptz,
    ended_at     timestamptz,
    ended_seen   timestamptz,
    last_seen    timestamptz NOT NULL,
    latest       jsonb       NOT NULL,             -- the latest notice
    firing       boolean     NOT NULL,
    incident_id  uuid        REFERENCES incident,
    PRIMARY KEY (source, fingerprint)
);
CREATE INDEX condition_incident ON condition (incident_id) WHERE incident_id IS NOT NULL;

CREATE TABLE alert (
    id            uuid        NOT NULL,
    received_at   timestamptz NOT NULL,
    delivery_id   uuid        NOT NULL,
    source        text        NOT NULL,
    outcome       text        NOT NULL CHECK (outcome IN
        ('opened', 'joined', 'cleared', 'stale', 'suppressed', 'quarantined')),
    fingerprint   text,
    status        text,
    name          text,
    notice        jsonb       NOT NULL,
    incident_id   uuid,
    note          text        NOT NULL DEFAULT '',
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);
CREATE TABLE alert_default PARTITION OF alert DEFAULT;
CREATE INDEX alert_delivery ON alert (delivery_id);
CREATE INDEX alert_incident ON alert (incident_id, received_at) WHERE incident_id IS NOT NULL;

-- The latest answer to one question, whoever asked it: shared by all incidents and hosts.
CREATE TABLE question (
    target        text        NOT NULL,
    digest        bytea       NOT NULL,            -- SHA-256 of the statement and its parameters
    asker         uuid,                            -- who is asking right now
    asking_until  timestamptz,
    answer        jsonb,
    asked_at      timestamptz,
    PRIMARY KEY (target, digest)
);
CREATE INDEX question_asked_at ON question (asked_at);

CREATE TABLE answer (
    incident_id  uuid        NOT NULL REFERENCES incident,
    attempt      int         NOT NULL,
    position     int         NOT NULL,
    name         text        NOT NULL,
    question     text        NOT NULL,
    target       text        NOT NULL,
    sql          text        NOT NULL,
    parameters   jsonb       NOT NULL,
    status       text        NOT NULL CHECK (status IN ('ok', 'failed', 'timed_out', 'skipped')),
    answer       jsonb       NOT NULL,
    PRIMARY KEY (incident_id, attempt, position)
);

CREATE TABLE decision (
    id           uuid        PRIMARY KEY,
    incident_id  uuid        NOT NULL REFERENCES incident,
    at           timestamptz NOT NULL,
    attempt      int         NOT NULL,             -- which answers it stands on
    action       text        NOT NULL CHECK (action IN ('fix', 'propose', 'hand_over', 'wait')),
    reason       text        NOT NULL,
    sentence     text        NOT NULL,
    finding      text,
    option       text,
    parameters   jsonb       NOT NULL,
    findings     jsonb       NOT NULL,
    facts        jsonb       NOT NULL,
    CHECK ((action = 'fix' AND reason = 'allowed')
        OR (action = 'propose' AND reason IN ('severity', 'severity_unreadable', 'autonomy',
            'not_automatic', 'target_on_fire', 'cooldown', 'breaker', 'limit', 'window', 'stopped'))
        OR (action = 'hand_over' AND reason IN ('no_rule', 'no_target', 'ambiguous_target',
            'parameter_missing', 'nothing_found', 'no_option', 'diagnosis_failed', 'rule_failed',
            'fix_failed', 'not_verified', 'unknown', 'our_failover', 'gave_up'))
        OR (action = 'wait' AND reason IN ('look_again', 'fix_running', 'verifying')))
);
CREATE INDEX decision_incident ON decision (incident_id, at);

-- The third wall of promise 2 is the CHECK on actor and severity.
CREATE TABLE fix (
    id                 uuid        PRIMARY KEY,
    incident_id        uuid        NOT NULL REFERENCES incident,
    decision_id        uuid        REFERENCES decision,
    key                text        NOT NULL,
    rule               text        NOT NULL,
    rule_checksum      text        NOT NULL,
    option             text        NOT NULL,
    target             text        NOT NULL,
    parameters         jsonb       NOT NULL,
    actor_kind         text        NOT NULL CHECK (actor_kind IN ('responder', 'person')),
    actor              text        NOT NULL,
    severity           text        NOT NULL CHECK (severity IN ('P0', 'P1', 'P2', 'P3')),
    status             text        NOT NULL CHECK (status IN ('started', 'recorded', 'committed',
        'rolled_back', 'refused', 'unknown', 'undone')),
    attempt            int         NOT NULL,             -- the incident's, as the fence
    reason             text        NOT NULL DEFAULT '',  -- why rolled back, refused or unknown
    dry_run            boolean     NOT NULL DEFAULT false,
    undoes             uuid        REFERENCES fix,
    statements         jsonb       NOT NULL DEFAULT '{}',
    xid                text,
    system_identifier  text,
    timeline           int,
    counts             jsonb       NOT NULL DEFAULT '{}',
    before_rows        jsonb       NOT NULL DEFAULT '[]',
    after_rows         jsonb       NOT NULL DEFAULT '[]',
    verification       text        CHECK (verification IN ('waiting', 'held', 'failed', 'not_asked')),
    verified_at        timestamptz,
    started_at         timestamptz NOT NULL,
    recorded_at        timestamptz,
    ended_at           timestamptz,
    CONSTRAINT fix_never_ours_at_p0_p1 CHECK (actor_kind <> 'responder' OR severity IN ('P2', 'P3'))
);
CREATE UNIQUE INDEX fix_one_per_key ON fix (key)
    WHERE status IN ('started', 'recorded') OR verification = 'waiting';
-- What one decision allowed is made at most once, whatever died in between.
CREATE UNIQUE INDEX fix_one_per_decision ON fix (decision_id)
    WHERE actor_kind = 'responder' AND NOT dry_run AND status NOT IN ('refused', 'rolled_back');
CREATE INDEX fix_incident ON fix (incident_id, started_at);
CREATE INDEX fix_key ON fix (key, started_at);
CREATE INDEX fix_rule ON fix (rule, started_at);
CREATE INDEX fix_unsettled ON fix (target) WHERE status IN ('started', 'recorded');

-- A page may be older than its incident: then incident_id is empty until triage adopts it.
CREATE TABLE notification (
    id           uuid        PRIMARY KEY,
    incident_id  uuid        REFERENCES incident,
    key          text        NOT NULL,
    receiver     text        NOT NULL,
    happening    text        NOT NULL CHECK (happening IN
        ('opened', 'acknowledged', 'updated', 'resolved')),
    page         boolean     NOT NULL,
    status       text        NOT NULL CHECK (status IN
        ('due', 'sending', 'sent', 'dead', 'superseded')),
    document     jsonb       NOT NULL,
    created_at   timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    lease_until  timestamptz,
    attempts     int         NOT NULL DEFAULT 0,
    error        text        NOT NULL DEFAULT '',
    sent_at      timestamptz
);
CREATE INDEX notification_due ON notification (page, due_at) WHERE status IN ('due', 'sending');
CREATE INDEX notification_incident ON notification (incident_id, created_at);
CREATE INDEX notification_key ON notification (key, created_at);
CREATE INDEX notification_dead ON notification (created_at) WHERE status = 'dead';

CREATE TABLE timer (
    incident_id  uuid        NOT NULL REFERENCES incident,
    what         text        NOT NULL CHECK (what IN
        ('verify', 'look_again', 'settle', 'unattended', 'quiet', 'reopen')),
    due_at       timestamptz NOT NULL,
    PRIMARY KEY (incident_id, what)
);
CREATE INDEX timer_due ON timer (due_at);

CREATE TABLE promotion (
    rule      text        NOT NULL,
    checksum  text        NOT NULL,
    autonomy  text        NOT NULL CHECK (autonomy IN ('observe', 'propose', 'act')),
    actor     text        NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (rule, checksum)
);

-- The row that every automatic fix is locked against; one row for ever.
CREATE TABLE autofix (
    one                boolean     PRIMARY KEY DEFAULT true CHECK (one),
    enabled            boolean     NOT NULL,
    reason             text        NOT NULL,
    actor              text        NOT NULL,
    at                 timestamptz NOT NULL,
    system_identifier  text        NOT NULL,
    timeline           int         NOT NULL
);
INSERT INTO autofix (enabled, reason, actor, at, system_identifier, timeline)
SELECT true, '', 'migration', now(), system_identifier::text,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
FROM pg_control_system();

-- One row a rule, locked while its fixes of the hour are counted.
CREATE TABLE rule_lock (rule text PRIMARY KEY);

-- When what is no longer needed was last deleted; one row for ever.
CREATE TABLE housekeeping (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    tidied_at  timestamptz NOT NULL
);
INSERT INTO housekeeping (tidied_at) VALUES (now());

CREATE TABLE maintenance_window (
    id         uuid        PRIMARY KEY,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    matchers   jsonb       NOT NULL,
    page       boolean     NOT NULL,
    diagnose   boolean     NOT NULL,
    fix        boolean     NOT NULL,
    actor      text        NOT NULL,
    reason     text        NOT NULL
);
CREATE INDEX maintenance_window_ends_at ON maintenance_window (ends_at);

CREATE TABLE audit_event (
    filed_at      timestamptz NOT NULL,   -- the incident's opening, else the event's time
    id            uuid        NOT NULL,
    at            timestamptz NOT NULL,
    actor_kind    text        NOT NULL CHECK (actor_kind IN ('responder', 'person', 'sender', 'system')),
    actor         text        NOT NULL,
    what          text        NOT NULL,
    incident_id   uuid,
    subject       text        NOT NULL,
    before        text,
    after         text,
    details       jsonb       NOT NULL,
    code_version  text        NOT NULL,
    xid           xid8        NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (filed_at, id)
) PARTITION BY RANGE (filed_at);
CREATE TABLE audit_event_default PARTITION OF audit_event DEFAULT;
CREATE INDEX audit_event_incident ON audit_event (incident_id, id) WHERE incident_id IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are never changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event_default
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Partitions ahead of time; what falls outside of them waits in the default partition, and a
-- range of which some already lies there stays there.
CREATE FUNCTION make_partition(parent text, name text, begins timestamptz, ends timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(format('responder.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                   name, parent, begins, ends);
    IF parent = 'audit_event' THEN  -- statement triggers are not inherited
        EXECUTE format('CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON %I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE NOTICE '% stays in the default partition', name;
END $$;

CREATE FUNCTION make_partitions(from_time timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    today  timestamp := date_trunc('day', from_time AT TIME ZONE 'UTC');
    begins timestamp;
    parent text;
BEGIN
    FOR ahead IN 0..7 LOOP
        begins := today + ahead * interval '1 day';
        PERFORM make_partition('delivery', 'delivery_' || to_char(begins, 'YYYYMMDD'),
            begins AT TIME ZONE 'UTC', (begins + interval '1 day') AT TIME ZONE 'UTC');
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
