-- Deliveries that wait for triage are their own queue: the gravest first, then the oldest. Accepting one
-- writes no job beside it. Rows of the release before have the least priority and a job each.
ALTER TABLE delivery
    ADD COLUMN priority smallint NOT NULL DEFAULT 3,  -- of the most severe alert: 0 is P0, and 3 is P3
    ADD COLUMN failures smallint NOT NULL DEFAULT 0;  -- triages that failed on it, or whose worker died

-- `ON ONLY`: without a lock for long; `responder migrate` then makes it on each day that is there already.
CREATE INDEX delivery_waiting ON ONLY delivery (priority, received_at, id) WHERE triaged_at IS NULL;

-- What is being triaged right now, so that a delivery that kills its worker is known. A crash of our
-- database empties it, and is nobody's fault.
CREATE UNLOGGED TABLE in_hand (
    drain       uuid         PRIMARY KEY,  -- one thread of one worker
    since       timestamptz  NOT NULL,
    deliveries  uuid[]       NOT NULL
);
