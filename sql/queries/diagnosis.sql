-- name: claim_question
-- Become the one who asks; no row comes back when the answer is fresh or somebody is asking.
INSERT INTO question AS q (target, digest, asker, asking_until)
VALUES (%(target)s, %(digest)s, %(asker)s, %(now)s + %(patience)s::interval)
ON CONFLICT (target, digest) DO UPDATE
SET asker = EXCLUDED.asker, asking_until = EXCLUDED.asking_until
WHERE (q.asking_until IS NULL OR q.asking_until < %(now)s)
  AND (q.asked_at IS NULL OR q.asked_at < %(now)s -
       CASE WHEN q.answer ->> 'status' = 'ok' THEN interval '30 s' ELSE interval '5 s' END)
RETURNING asker;

-- name: shared_answer
-- The fresh answer that somebody else got, if it is there already.
SELECT answer FROM question
WHERE target = %(target)s AND digest = %(digest)s
  AND asked_at >= %(now)s - CASE WHEN answer ->> 'status' = 'ok' THEN interval '30 s' ELSE interval '5 s' END;

-- name: share_answer
-- The answer for all who wait; nothing when a fix made it old while it was asked.
UPDATE question SET answer = %(answer)s, asked_at = %(now)s, asker = NULL, asking_until = NULL
WHERE target = %(target)s AND digest = %(digest)s AND asker = %(asker)s;

-- name: give_up_question
-- It could not be asked; the next one who wants to know asks.
UPDATE question SET asker = NULL, asking_until = NULL
WHERE target = %(target)s AND digest = %(digest)s AND asker = %(asker)s;

-- name: forget_answers
-- A fix changed the target: older answers are no longer true.
DELETE FROM question WHERE target = %(target)s;

-- name: put_off_walks
-- How many walks to a target rest before their diagnosis.
SELECT count(*) AS walks FROM timer t JOIN incident i ON i.id = t.incident_id
WHERE t.what = 'look_again' AND i.stage = 'diagnose' AND i.target = %(target)s;

-- name: insert_answer
-- One answer of a diagnosis.
INSERT INTO answer (incident_id, attempt, position, name, question, target, sql, parameters, status, answer)
VALUES (%(incident_id)s, %(attempt)s, %(position)s, %(name)s, %(question)s, %(target)s, %(sql)s,
        %(parameters)s, %(status)s, %(answer)s);

-- name: latest_answers
-- The answers of the latest diagnosis.
SELECT name, question, target, sql, parameters, answer FROM answer
WHERE incident_id = %(id)s
  AND attempt = (SELECT max(attempt) FROM answer WHERE incident_id = %(id)s)
ORDER BY position;

-- name: facts
-- What the decision must know beside the findings, in one look.
SELECT
    EXISTS (SELECT FROM incident o WHERE o.target = %(target)s AND o.stage <> 'done'
            AND o.severity IN ('P0', 'P1') AND o.status <> 'resolved' AND o.id <> %(id)s) AS target_on_fire,
    (SELECT NOT enabled FROM autofix) AS stopped,
    (SELECT coalesce(failed_over_at > %(opened_at)s, false) FROM autofix) AS our_failover,
    (SELECT autonomy FROM promotion WHERE rule = %(rule)s AND checksum = %(checksum)s) AS promoted,
    (SELECT count(*) FROM fix WHERE rule = %(rule)s AND started_at > %(now)s - interval '1 hour'
            AND actor_kind = 'responder' AND NOT dry_run AND status <> 'refused') AS fixes_this_hour,
    EXISTS (SELECT FROM fix WHERE key = %(key)s AND status IN ('started', 'recorded')) AS fix_running,
    EXISTS (SELECT FROM fix WHERE key = %(key)s AND verification = 'waiting') AS verifying,
    (SELECT coalesce(jsonb_object_agg(option, ended_at), '{}') FROM (
        SELECT option, max(ended_at) AS ended_at FROM fix
        WHERE key = %(key)s AND status IN ('committed', 'unknown') AND NOT dry_run GROUP BY option) f) AS ended,
    (SELECT coalesce(jsonb_object_agg(changed, ended_at), '{}') FROM (
        SELECT changed, max(u.ended_at) AS ended_at
        FROM fix u, jsonb_array_elements_text(u.statements -> 'undo' -> 'changes') changed
        WHERE u.target = %(target)s AND u.undoes IS NOT NULL AND u.status = 'committed' AND NOT u.dry_run
        GROUP BY changed) t) AS undone_tables;

-- name: insert_decisions
-- Decisions, each with all that it stands on.
INSERT INTO decision (id, incident_id, rule_checksum, at, attempt, action, reason, sentence, finding, option,
                      parameters, findings, facts)
SELECT d.id, i.id, i.rule_checksum, %(now)s, d.attempt, d.action, d.reason, d.sentence, d.finding, d.option,
       d.parameters, d.findings, d.facts
FROM jsonb_to_recordset(%(rows)s) AS d (
    id uuid, incident_id uuid, attempt int, action text, reason text, sentence text, finding text, option
    text, parameters jsonb, findings jsonb, facts jsonb)
JOIN incident i ON i.id = d.incident_id;

-- name: decision
-- One decision.
SELECT * FROM decision WHERE id = %(id)s;
