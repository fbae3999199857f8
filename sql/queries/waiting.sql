-- name: claim_deliveries
-- The deliveries that wait for triage, the gravest first, then the oldest, until there are so many
-- alerts; what somebody else has in hand is theirs, and none of `resting`. What is locked by nobody
-- although a hand holds it has lost its worker.
WITH claimed AS MATERIALIZED (
    SELECT id, received_at, source, notices, alert_count, page_due_at, priority, failures
    FROM delivery
    WHERE triaged_at IS NULL AND priority <= %(at_most)s AND id <> ALL(%(resting)s::uuid[])
    ORDER BY priority, received_at, id
    LIMIT %(deliveries)s
    FOR UPDATE SKIP LOCKED
), counted AS (
    SELECT *, sum(alert_count) OVER (ORDER BY priority, received_at, id) - alert_count AS alerts_before FROM claimed
)
SELECT c.id, c.received_at, c.source, c.notices, c.page_due_at, c.priority,
       c.failures + (SELECT count(*) FROM in_hand h WHERE h.drain <> %(drain)s AND c.id = ANY(h.deliveries)) AS failures
FROM counted c WHERE c.alerts_before < %(alerts)s
ORDER BY c.priority, c.received_at, c.id;

-- name: take_in_hand
-- What this drain triages now.
INSERT INTO in_hand (drain, since, deliveries) VALUES (%(drain)s, %(now)s, %(deliveries)s)
ON CONFLICT (drain) DO UPDATE SET since = EXCLUDED.since, deliveries = EXCLUDED.deliveries;

-- name: put_down
-- This drain has nothing in hand, and is alive.
DELETE FROM in_hand WHERE drain = %(drain)s;

-- name: tidy_hands
-- What was in hand so long ago was triaged since, or never will be.
DELETE FROM in_hand WHERE since < %(now)s - interval '1 day';

-- name: count_failure
-- One more triage of them failed.
UPDATE delivery SET failures = failures + 1 WHERE id = ANY(%(ids)s) AND triaged_at IS NULL;

-- name: ring
-- Something waits for triage.
SELECT pg_notify('responder_delivery', %(what)s);

-- name: hear_bells
-- Whenever something waits for triage.
LISTEN responder_delivery;
