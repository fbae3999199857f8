-- name: waiting_approval
-- One person has approved exactly this, and the time of the second one is not over.
SELECT * FROM approval
WHERE incident_id = %(incident_id)s AND option = %(option)s AND parameters = %(parameters)s
  AND seen = %(seen)s AND fix_id IS NULL AND expires_at > %(now)s;

-- name: insert_approval
-- The first of two people approves.
INSERT INTO approval (id, incident_id, option, parameters, seen, actor, at, expires_at)
VALUES (%(id)s, %(incident_id)s, %(option)s, %(parameters)s, %(seen)s, %(actor)s, %(now)s, %(expires_at)s)
RETURNING *;

-- name: use_approval
-- The second one did, too.
UPDATE approval SET fix_id = %(fix_id)s WHERE id = %(id)s;

-- name: approval
-- One approval.
SELECT * FROM approval WHERE id = %(id)s;

-- name: waiting_approvals
-- What waits for a second person.
SELECT * FROM approval
WHERE incident_id = %(incident_id)s AND seen = %(seen)s AND fix_id IS NULL AND expires_at > %(now)s
ORDER BY at, id;
