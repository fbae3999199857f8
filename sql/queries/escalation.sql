-- name: escalation
-- How far an incident was climbed, and when the next step is; an incident that never was is at level 1.
SELECT coalesce(e.level, 1) AS level, coalesce(e.round, 0) AS round, coalesce(e.told, '{}') AS told,
       coalesce(e.contacts, '{}') AS contacts, coalesce(e.sentence, '') AS sentence,
       (SELECT min(due_at) FROM timer t
        WHERE t.incident_id = i.id AND t.what IN ('escalate', 'acknowledged')) AS next_at
FROM (SELECT %(id)s::uuid AS id) i LEFT JOIN escalation e ON e.incident_id = i.id;

-- name: note_climb
-- A level was reached: who was told, and what people read about it.
INSERT INTO escalation AS e (incident_id, level, round, told, contacts, sentence)
VALUES (%(id)s, %(level)s, %(round)s, %(told)s::text[], %(contacts)s::text[], %(sentence)s)
ON CONFLICT (incident_id) DO UPDATE
SET level = EXCLUDED.level, round = EXCLUDED.round, contacts = EXCLUDED.contacts, sentence = EXCLUDED.sentence,
    told = ARRAY(SELECT DISTINCT unnest(e.told || EXCLUDED.told) ORDER BY 1);

-- name: forget_told
-- Nobody has it any more: whoever escalates by themselves may be told once more.
UPDATE escalation SET told = '{}' WHERE incident_id = %(id)s;

-- name: forget_escalation
-- It is opened anew and begins at the first level.
DELETE FROM escalation WHERE incident_id = %(id)s;

-- name: set_timer_soonest
-- Wake this incident at that time, or sooner if it is to be woken sooner.
INSERT INTO timer (incident_id, what, due_at) VALUES (%(id)s, %(what)s, %(due_at)s)
ON CONFLICT (incident_id, what) DO UPDATE SET due_at = least(timer.due_at, EXCLUDED.due_at);

-- name: put_off_timer
-- Somebody is at work on it: a timer that is set waits until that time.
UPDATE timer SET due_at = greatest(due_at, %(due_at)s) WHERE incident_id = %(id)s AND what = %(what)s;

-- name: shift_climb
-- The page that a window held back leaves at another time, and the next level with it.
UPDATE timer SET due_at = due_at - %(planned)s::timestamptz + %(due_at)s::timestamptz
WHERE incident_id = %(id)s AND what = 'escalate' AND due_at > %(planned)s;

-- name: lapse_acknowledgement
-- Nothing was heard of whoever had it.
UPDATE incident
SET status = 'open', acknowledged_at = NULL, acknowledged_by = NULL, updates = updates + 1
WHERE id = %(id)s AND status = 'acknowledged'
RETURNING *;
