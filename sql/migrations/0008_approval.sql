-- Promotions by people, with what they can know before; options that two people approve; breakers that
-- people reset.

-- The version of the rule that decided; null: decided by the release before this one.
ALTER TABLE decision ADD COLUMN rule_checksum text;

-- What a rule would have done by itself, over the months.
CREATE INDEX decision_would_have_acted ON decision (at) WHERE reason = 'autonomy';

-- One of two people has approved a dangerous option.
CREATE TABLE approval (
    id           uuid        PRIMARY KEY,
    incident_id  uuid        NOT NULL REFERENCES incident,
    option       text        NOT NULL,
    parameters   jsonb       NOT NULL,             -- what they answered to what it asks
    seen         uuid        NOT NULL REFERENCES decision,
    actor        text        NOT NULL,
    at           timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    fix_id       uuid        REFERENCES fix        -- what came of it, with the second person
);
CREATE INDEX approval_incident ON approval (incident_id, at);

-- The same request gives the same approval, too; the release before this one asks no two people.
ALTER TABLE idempotency_key
    ALTER COLUMN fix_id DROP NOT NULL,
    ADD COLUMN approval_id uuid REFERENCES approval;

-- The latest reset of the breaker of a key, by a person: what was before does not count any more.
CREATE TABLE breaker_reset (
    key     text         PRIMARY KEY,
    at      timestamptz  NOT NULL,
    actor   text         NOT NULL,
    reason  text         NOT NULL
);
CREATE INDEX fix_against ON fix (key)
    WHERE verification = 'failed' OR status = 'unknown' OR undoes IS NOT NULL;

-- What counts against the fixes of a key.
CREATE VIEW breaker AS
SELECT f.key, count(*) FILTER (WHERE f.verification = 'failed') AS failed_fixes,
       count(*) FILTER (WHERE f.status = 'unknown') AS unknown_fixes,
       count(*) FILTER (WHERE f.undoes IS NOT NULL AND f.status = 'committed') AS undone_fixes
FROM fix f LEFT JOIN breaker_reset r ON r.key = f.key
WHERE (f.verification = 'failed' OR f.status = 'unknown' OR f.undoes IS NOT NULL) AND NOT f.dry_run
  AND coalesce(f.verified_at, f.ended_at, f.started_at) > coalesce(r.at, '-infinity')
GROUP BY f.key;
