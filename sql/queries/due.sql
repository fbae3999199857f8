-- name: due
-- What the watches of a process may have to do, by name; asked several times a second, and nearly always nothing.
SELECT 'deliveries' AS what                         -- P0 or P1 that no worker has triaged in time
WHERE EXISTS (SELECT FROM delivery WHERE triaged_at IS NULL AND page_due_at <= now() + %(offset)s::interval)
UNION ALL
SELECT CASE WHEN page THEN 'pages' ELSE 'messages' END  -- that nobody sends, or whose sender has died
FROM (VALUES (true), (false)) k (page)
WHERE EXISTS (SELECT FROM notification n
              WHERE n.page = k.page AND n.status IN ('due', 'sending') AND n.due_at <= now() + %(offset)s::interval
                AND (n.status = 'due' OR n.lease_until <= now() + %(offset)s::interval))
UNION ALL
SELECT 'timers'                                     -- also of incidents that are walking
WHERE EXISTS (SELECT FROM timer WHERE due_at <= now() + %(offset)s::interval)
UNION ALL
SELECT 'windows'                                    -- that time has moved on, and conditions whose window is over
WHERE EXISTS (SELECT FROM maintenance_window WHERE next_at <= now() + %(offset)s::interval)
   OR EXISTS (SELECT FROM condition WHERE held_until <= now() + %(offset)s::interval);
