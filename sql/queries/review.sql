-- name: ask_review
-- An incident that is done waits for a verdict when something was fixed in it (nobody knows whether
-- counts, too), or when it is one of the sample. A verdict stands until something is fixed after it;
-- an undo is its consequence.
INSERT INTO review (incident_id, picked, waiting, due_at)
SELECT %(id)s, CASE WHEN fixed THEN 'fixed' ELSE 'sample' END, true, %(now)s + %(within)s::interval
FROM (SELECT EXISTS (SELECT FROM fix WHERE incident_id = %(id)s AND NOT dry_run
                     AND status IN ('committed', 'undone', 'unknown')) AS fixed) f
WHERE fixed OR %(sampled)s
ON CONFLICT (incident_id) DO UPDATE SET picked = EXCLUDED.picked, waiting = true, due_at = EXCLUDED.due_at
WHERE review.verdict IS NULL OR EXISTS (
    SELECT FROM fix WHERE incident_id = review.incident_id AND NOT dry_run AND undoes IS NULL
    AND status IN ('committed', 'undone', 'unknown') AND started_at > review.at)
RETURNING picked;

-- name: ask_no_review
-- It goes on, so there is nothing to judge yet.
UPDATE review SET waiting = false WHERE incident_id = %(id)s AND waiting;

-- name: review
-- What was said of an incident, or is waited for; own: by somebody who ran a fix of it.
SELECT r.*, EXISTS (SELECT FROM fix WHERE incident_id = r.incident_id AND actor_kind = 'person'
                    AND actor = r.actor AND NOT dry_run) AS own
FROM review r WHERE r.incident_id = %(id)s;

-- name: judge
-- Somebody's verdict, of the version of the rule that fixed last, else of the one that diagnosed.
WITH told AS (UPDATE incident SET updates = updates + 1 WHERE id = %(id)s)
INSERT INTO review AS r (incident_id, waiting, verdict, note, actor, at, rule, rule_checksum, took_back)
SELECT i.id, false, %(verdict)s, %(note)s, %(actor)s, %(now)s, i.rule, coalesce(
           (SELECT f.rule_checksum FROM fix f
            WHERE f.incident_id = i.id AND NOT f.dry_run AND f.undoes IS NULL
              AND f.status IN ('committed', 'undone', 'unknown')
            ORDER BY f.started_at DESC, f.id DESC LIMIT 1), i.rule_checksum), %(took_back)s
FROM incident i WHERE i.id = %(id)s
ON CONFLICT (incident_id) DO UPDATE
SET waiting = false, verdict = EXCLUDED.verdict, note = EXCLUDED.note, actor = EXCLUDED.actor,
    at = EXCLUDED.at, rule = EXCLUDED.rule, rule_checksum = EXCLUDED.rule_checksum,
    took_back = r.took_back OR EXCLUDED.took_back;

-- name: take_promotions_back
-- The versions that fixed something of this incident by themselves, and may do so still, propose again.
UPDATE promotion p SET autonomy = 'propose', actor = %(actor)s, at = %(now)s
WHERE p.autonomy = 'act' AND EXISTS (
    SELECT FROM fix f
    WHERE f.incident_id = %(id)s AND f.actor_kind = 'responder' AND NOT f.dry_run
      AND f.status IN ('committed', 'undone', 'unknown')
      AND f.rule = p.rule AND f.rule_checksum = p.checksum)
RETURNING p.rule, p.checksum;

-- name: reviews_waiting
-- How many reviews wait for somebody, and how many of those are overdue.
SELECT count(*) AS waiting, count(*) FILTER (WHERE due_at < %(now)s) AS overdue FROM review WHERE waiting;

-- name: incidents_to_review
-- The newest incidents that wait for a verdict and meet the filters, before a cursor.
SELECT i.* FROM review r JOIN incident i ON i.id = r.incident_id
WHERE r.waiting AND (%(review)s <> 'overdue' OR r.due_at < %(now)s)
  AND (%(status)s::text IS NULL OR i.status = %(status)s)
  AND (%(severity)s::text IS NULL OR i.severity = %(severity)s)
  AND (%(rule)s::text IS NULL OR i.rule = %(rule)s)
  AND (%(q)s::text IS NULL OR strpos(lower(i.title), lower(%(q)s)) > 0)
  AND (%(before)s::timestamptz IS NULL OR (i.opened_at, i.id) < (%(before)s::timestamptz, %(before_id)s))
ORDER BY i.opened_at DESC, i.id DESC
LIMIT %(limit)s;

-- name: verdicts
-- What engineers said in the last 90 days, by rule.
SELECT coalesce(rule, 'none') AS rule, verdict, count(*) AS reviews FROM review
WHERE verdict IS NOT NULL AND at > %(now)s - interval '90 days' GROUP BY 1, 2;

-- name: digest_reviews
-- Incidents that wait for a verdict, the longest first.
SELECT i.severity, i.title, i.target, i.rule, i.resolved_at, r.picked, r.due_at, r.due_at < %(now)s AS overdue,
    count(*) OVER () AS in_all
FROM review r JOIN incident i ON i.id = r.incident_id
WHERE r.waiting ORDER BY r.due_at, i.id LIMIT %(most)s;

-- name: verdicts_of_version
-- How often this version of a rule, and other ones, were judged since then.
SELECT coalesce(rule_checksum = %(checksum)s, false) AS this_version, verdict, count(*) AS reviews FROM review
WHERE rule = %(rule)s AND verdict IS NOT NULL AND at > %(since)s GROUP BY 1, 2;

-- name: against_version
-- The verdicts against this version of a rule, whenever they were given: harm first, the latest first.
SELECT r.incident_id, i.title, r.verdict, r.note, r.actor, r.at
FROM review r JOIN incident i ON i.id = r.incident_id
WHERE r.rule = %(rule)s AND r.rule_checksum = %(checksum)s AND r.verdict IN ('wrong', 'harmful')
ORDER BY r.verdict, r.at DESC, r.incident_id LIMIT %(most)s;
