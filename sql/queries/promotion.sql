-- name: promote
-- This version of the rule may go so far by itself.
INSERT INTO promotion (rule, checksum, autonomy, actor, at)
VALUES (%(rule)s, %(checksum)s, %(autonomy)s, %(actor)s, %(now)s)
ON CONFLICT (rule, checksum) DO UPDATE SET autonomy = EXCLUDED.autonomy, actor = EXCLUDED.actor, at = EXCLUDED.at;

-- name: promotions
-- How far each version of each rule may go.
SELECT rule, checksum, autonomy, actor, at FROM promotion;

-- name: promoted
-- How far this version may go, if anybody said so.
SELECT autonomy FROM promotion WHERE rule = %(rule)s AND checksum = %(checksum)s;

-- name: would_have_acted
-- Each incident in which only the missing promotion kept a version of the rule from acting, and what
-- a person did then.
SELECT DISTINCT ON (d.incident_id, d.rule_checksum) d.incident_id, d.rule_checksum, d.at, d.option,
    i.title, i.status, i.resolved_by, f.option AS did, f.verification
FROM decision d
JOIN incident i ON i.id = d.incident_id
LEFT JOIN LATERAL (
    SELECT option, verification FROM fix
    WHERE incident_id = d.incident_id AND started_at >= d.at AND actor_kind = 'person'
      AND status = 'committed' AND NOT dry_run
    ORDER BY started_at LIMIT 1) f ON true
WHERE d.reason = 'autonomy' AND d.at > %(since)s
  AND d.incident_id IN (SELECT id FROM incident WHERE rule = %(rule)s)  -- from an index alone
ORDER BY d.incident_id, d.rule_checksum, d.at;

-- name: has_acted
-- What the rule did by itself since then, and how often the cause was gone afterwards.
SELECT rule_checksum = %(checksum)s AS this_version, count(*) AS fixes,
    count(*) FILTER (WHERE verification = 'held') AS held,
    count(*) FILTER (WHERE verification = 'failed') AS failed
FROM fix
WHERE rule = %(rule)s AND started_at > %(since)s AND actor_kind = 'responder' AND status = 'committed'
  AND NOT dry_run
GROUP BY 1;
