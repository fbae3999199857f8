-- name: insert_window
-- A window; no row comes back when there is one of this occurrence already.
INSERT INTO maintenance_window (id, name, definition, starts_at, ends_at, matchers, page, diagnose, fix, actor,
                                reason, created_at, ready_at, done_at, watch, next_at)
VALUES (%(id)s, %(name)s, %(definition)s, %(starts_at)s, %(ends_at)s, %(matchers)s, %(page)s, %(diagnose)s,
        %(fix)s, %(actor)s, %(reason)s, %(now)s, %(ready_at)s, %(done_at)s, %(watch)s, %(starts_at)s)
ON CONFLICT (name, starts_at) WHERE name IS NOT NULL AND state <> 'withdrawn' DO NOTHING
RETURNING *;

-- name: insert_item
-- One line of its lists.
INSERT INTO maintenance_item (window_id, position, phase, item, diagnostic, target, expect, ask_at)
VALUES (%(window_id)s, %(position)s, %(phase)s, %(item)s, %(diagnostic)s, %(target)s, %(expect)s, %(ask_at)s);

-- name: window_items
-- Its lists, in order.
SELECT * FROM maintenance_item WHERE window_id = %(window_id)s ORDER BY position;

-- name: items_of_windows
-- The lists of several windows.
SELECT * FROM maintenance_item WHERE window_id = ANY(%(windows)s) ORDER BY window_id, position;

-- name: lock_item
-- One line of a list, held until the transaction ends.
SELECT * FROM maintenance_item WHERE window_id = %(window_id)s AND position = %(position)s FOR UPDATE;

-- name: tick_item
-- Who ticked it, and when; nobody: it is open again. Whoever ticks it, it need not be asked.
UPDATE maintenance_item SET ticked_at = %(ticked_at)s, ticked_kind = %(kind)s, ticked_by = %(by)s, ask_at = NULL
WHERE window_id = %(window_id)s AND position = %(position)s;

-- name: look_at_lists
-- Which of its lists are complete, and since when.
UPDATE maintenance_window w
SET ready_at = CASE WHEN EXISTS (SELECT FROM maintenance_item i WHERE i.window_id = w.id
                                 AND i.phase = 'before' AND i.ticked_at IS NULL)
                    THEN NULL ELSE coalesce(w.ready_at, %(now)s) END,
    done_at = CASE WHEN EXISTS (SELECT FROM maintenance_item i WHERE i.window_id = w.id
                                AND i.phase = 'after' AND i.ticked_at IS NULL)
                   THEN NULL ELSE coalesce(w.done_at, %(now)s) END
WHERE w.id = %(id)s
RETURNING *;

-- name: lease_item
-- The next one that is to be asked; it is asked again until it is ticked or nobody needs it any more.
UPDATE maintenance_item SET ask_at = CASE WHEN due.pointless THEN NULL ELSE %(now)s + %(again)s::interval END
FROM (SELECT i.window_id AS id, i.position AS place,
             w.state IN ('finished', 'missed', 'cancelled', 'withdrawn')
             OR w.ends_at + %(give_up)s::interval <= %(now)s AS pointless
      FROM maintenance_item i JOIN maintenance_window w ON w.id = i.window_id
      WHERE i.ask_at <= %(now)s ORDER BY i.ask_at LIMIT 1 FOR UPDATE OF i SKIP LOCKED) due
WHERE window_id = due.id AND position = due.place
RETURNING maintenance_item.*, due.pointless;

-- name: answer_item
-- What came back the last time that it was asked.
UPDATE maintenance_item SET answer = %(answer)s WHERE window_id = %(window_id)s AND position = %(position)s;

-- name: lock_due_window
-- The next one that time has moved on.
SELECT * FROM maintenance_window WHERE next_at <= %(now)s ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: set_window_state
-- Where it stands, and when time moves it on.
UPDATE maintenance_window SET state = %(state)s, next_at = %(at)s WHERE id = %(id)s RETURNING *;

-- name: lock_announced_occurrences
-- What the settings of some process announced, and has not begun.
SELECT id, name, starts_at, state, definition FROM maintenance_window
WHERE name IS NOT NULL AND next_at IS NOT NULL AND state = 'announced'
ORDER BY id FOR UPDATE;

-- name: withdraw_window
-- The settings do not know it any more: it never begins.
UPDATE maintenance_window SET state = 'withdrawn', next_at = NULL, ends_at = starts_at WHERE id = %(id)s;

-- name: ask_items
-- Those of a list that answer themselves begin to be asked.
UPDATE maintenance_item SET ask_at = %(at)s
WHERE window_id = %(window_id)s AND phase = %(phase)s AND diagnostic <> '' AND ticked_at IS NULL;

-- name: window
-- One window.
SELECT * FROM maintenance_window WHERE id = %(id)s;

-- name: lock_window
-- One window, held until the transaction ends.
SELECT * FROM maintenance_window WHERE id = %(id)s FOR UPDATE;

-- name: windows
-- The newest windows, before a cursor.
SELECT * FROM maintenance_window
WHERE (%(before)s::timestamptz IS NULL OR (created_at, id) < (%(before)s::timestamptz, %(before_id)s))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s;

-- name: windows_in_force
-- The windows that keep something off now; prepared: one has a list before, and it is complete.
SELECT w.*, EXISTS (SELECT FROM maintenance_item i WHERE i.window_id = w.id AND i.phase = 'before') AS prepared
FROM maintenance_window w
WHERE w.starts_at <= %(now)s AND %(now)s < w.ends_at AND w.ready_at IS NOT NULL;

-- name: standing_windows
-- Windows that are not over, with how many items of the list that they wait for are open.
SELECT w.id, w.name, w.reason, w.state, w.starts_at, w.ends_at,
       (SELECT count(*) FROM maintenance_item i WHERE i.window_id = w.id AND i.ticked_at IS NULL
        AND i.phase = CASE w.state WHEN 'finishing' THEN 'after' ELSE 'before' END) AS open
FROM maintenance_window w
WHERE w.state IN ('announced', 'waiting', 'in_force', 'finishing', 'watching')
ORDER BY w.starts_at, w.id;

-- name: conditions_held
-- How many are kept back, and how many of them for longer than their window.
SELECT count(*) AS held, count(*) FILTER (WHERE held_until < %(now)s - %(overdue)s::interval) AS overdue
FROM condition WHERE held_until IS NOT NULL;

-- name: windows_around
-- Windows that were in force at a time, or had ended so shortly before that they were still watched.
SELECT * FROM maintenance_window
WHERE starts_at <= %(at)s AND ends_at > %(at)s - interval '1 day' AND ends_at + watch > %(at)s
  AND ready_at <= %(at)s AND ends_at > starts_at
ORDER BY ends_at DESC, id;

-- name: end_window
-- It is over now; one that has not begun never will.
UPDATE maintenance_window SET ended_by = %(actor)s, ends_at = greatest(starts_at, %(now)s)
WHERE id = %(id)s AND ended_by IS NULL AND ends_at > %(now)s
RETURNING *;

-- name: hasten_looks
-- Incidents that wait for the end of a window are looked at, or climb on, now; another window may hold
-- them again.
UPDATE timer SET due_at = %(now)s WHERE what IN ('look_again', 'escalate') AND due_at = %(planned)s;

-- name: hasten_held
-- Conditions that are kept back until the end of a window are looked at now; another may hold them again.
UPDATE condition SET held_until = %(now)s WHERE held_until = %(planned)s;

-- name: postponed_pages
-- Pages that wait for a window's end, with the labels of their incidents.
SELECT n.id, n.incident_id, i.labels FROM notification n LEFT JOIN incident i ON i.id = n.incident_id
WHERE n.page AND n.status = 'due' AND n.happening = 'opened' AND n.due_at = %(planned)s
FOR UPDATE OF n;

-- name: pages_in_a_window
-- Pages that waited, and whose time came in a window that keeps pages off, with the labels of their incidents.
-- Whom somebody else has in hand is let be: better a page too many.
SELECT n.id, n.due_at, i.id AS incident_id, i.labels FROM notification n JOIN incident i ON i.id = n.incident_id
WHERE n.page AND n.status = 'due' AND n.happening = 'opened' AND n.attempts = 0 AND n.fallback_of IS NULL
  AND n.due_at <= %(now)s
  AND EXISTS (SELECT FROM maintenance_window w WHERE NOT w.page AND w.starts_at <= n.due_at AND w.ready_at <= n.due_at
              AND %(now)s < w.ends_at)
FOR UPDATE SKIP LOCKED;

-- name: page_at
-- It leaves at another time.
UPDATE notification SET due_at = %(due_at)s WHERE id = %(id)s AND status = 'due';
