-- name: insert_window
-- A one-off maintenance window.
INSERT INTO maintenance_window (id, starts_at, ends_at, matchers, page, diagnose, fix, actor, reason, created_at)
VALUES (%(id)s, %(starts_at)s, %(ends_at)s, %(matchers)s, %(page)s, %(diagnose)s, %(fix)s, %(actor)s,
        %(reason)s, %(now)s);

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

-- name: end_window
-- It is over now; one that has not begun never will.
UPDATE maintenance_window SET ended_by = %(actor)s, ends_at = greatest(starts_at, %(now)s)
WHERE id = %(id)s AND ended_by IS NULL AND ends_at > %(now)s
RETURNING *;

-- name: hasten_looks
-- Incidents that wait for the end of a window are looked at, or climb on, now; another window may hold
-- them again.
UPDATE timer SET due_at = %(now)s WHERE what IN ('look_again', 'escalate') AND due_at = %(planned)s;

-- name: postponed_pages
-- Pages that wait for a window's end, with the labels of their incidents.
SELECT n.id, n.incident_id, i.labels FROM notification n LEFT JOIN incident i ON i.id = n.incident_id
WHERE n.page AND n.status = 'due' AND n.happening = 'opened' AND n.due_at = %(planned)s
FOR UPDATE OF n;

-- name: page_at
-- It leaves at another time.
UPDATE notification SET due_at = %(due_at)s WHERE id = %(id)s AND status = 'due';
