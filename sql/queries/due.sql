-- What the watches look for several times a second, before they do anything: each is one statement alone,
-- and finds a row where there may be something to do.

-- name: deliveries_due
-- P0 or P1 that no worker has triaged in time.
SELECT FROM delivery WHERE triaged_at IS NULL AND page_due_at <= now() + %(offset)s::interval LIMIT 1;

-- name: pages_due
-- Pages that nobody sends, or whose sender has died.
SELECT FROM notification
WHERE page AND status IN ('due', 'sending') AND due_at <= now() + %(offset)s::interval
  AND (status = 'due' OR lease_until <= now() + %(offset)s::interval)
LIMIT 1;

-- name: timers_due
-- Timers, also of incidents that are walking.
SELECT FROM timer WHERE due_at <= now() + %(offset)s::interval LIMIT 1;

-- name: windows_due
-- Maintenance windows that time has moved on, and conditions whose window is over.
SELECT FROM (
    (SELECT next_at FROM maintenance_window WHERE next_at <= now() + %(offset)s::interval LIMIT 1)
    UNION ALL
    (SELECT held_until FROM condition WHERE held_until <= now() + %(offset)s::interval LIMIT 1)) d
LIMIT 1;
