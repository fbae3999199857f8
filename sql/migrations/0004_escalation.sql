-- The escalation path of an incident: how far it was climbed, and the pages of later rounds.
-- Running 0003 code goes on working beside it; its `unattended` timers are ours now.

ALTER TABLE timer DROP CONSTRAINT timer_what_check;
ALTER TABLE timer ADD CONSTRAINT timer_what_check CHECK (what IN
    ('verify', 'look_again', 'settle', 'unattended', 'quiet', 'reopen', 'escalate', 'acknowledged'));

-- One row from the first page, or from when it was handed to people, until the incident is reopened.
CREATE TABLE escalation (
    incident_id  uuid        PRIMARY KEY REFERENCES incident,
    level        int         NOT NULL,              -- 1 is the responder itself
    round        int         NOT NULL DEFAULT 0,    -- how often it began again: -r<n> of the pager's key
    told         text[]      NOT NULL DEFAULT '{}', -- receivers, since it was opened or taken by nobody any more
    contacts     text[]      NOT NULL DEFAULT '{}', -- who was told at this level
    sentence     text        NOT NULL DEFAULT ''
);

ALTER TABLE notification
    ADD COLUMN round   int     NOT NULL DEFAULT 0,      -- -r<n> of the pager's key
    ADD COLUMN beyond  boolean NOT NULL DEFAULT false;  -- a page after the first: for nobody once somebody has it
