-- Engineers' verdicts on what the responder did, and which versions of our secrets are in use.

-- An incident that waits for a verdict, or has one; of those that end from now on.
CREATE TABLE review (
    incident_id    uuid         PRIMARY KEY REFERENCES incident,
    picked         text         CHECK (picked IN ('fixed', 'sample')),  -- null: said without being asked
    waiting        boolean      NOT NULL,
    due_at         timestamptz,
    verdict        text         CHECK (verdict IN ('useful', 'wrong', 'harmful')),
    note           text         NOT NULL DEFAULT '',
    actor          text,
    at             timestamptz,
    rule           text,                                  -- of what the verdict is
    rule_checksum  text,
    took_back      boolean      NOT NULL DEFAULT false    -- a promotion, because it was harmful
);
CREATE INDEX review_waiting ON review (due_at) WHERE waiting;
CREATE INDEX review_at ON review (at) WHERE verdict IS NOT NULL;
CREATE INDEX review_rule ON review (rule, rule_checksum) WHERE verdict IS NOT NULL;

-- One version of a secret of the settings; never the secret. seen_at: when a running process last had
-- it; null: it was retired, and nobody has it any more.
CREATE TABLE secret_version (
    key         text         NOT NULL,                    -- in responder.toml
    version     text         NOT NULL,
    first_seen  timestamptz  NOT NULL,
    last_used   timestamptz,
    seen_at     timestamptz,
    PRIMARY KEY (key, version)
);
