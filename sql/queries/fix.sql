-- name: lock_rule
-- Fixes of one rule are counted, and its versions promoted, one after the other.
INSERT INTO rule_lock (rule) VALUES (%(rule)s) ON CONFLICT (rule) DO UPDATE SET rule = EXCLUDED.rule;

-- name: fixes_this_hour
-- How often this rule was fixed automatically within the hour.
SELECT count(*) AS fixes FROM fix
WHERE rule = %(rule)s AND started_at > %(now)s - interval '1 hour' AND actor_kind = 'responder'
  AND NOT dry_run AND status <> 'refused';

-- name: insert_fix
-- Step 1: the intent; the severity is the incident's own, so the CHECK acts already here.
-- `attempt` is that of the walk which may carry it out.
INSERT INTO fix (id, incident_id, decision_id, key, rule, rule_checksum, option, target, parameters,
                 actor_kind, actor, severity, status, attempt, dry_run, undoes, statements, started_at)
SELECT %(id)s, i.id, i.decision_id, i.key, i.rule, %(rule_checksum)s, %(option)s, i.target, %(parameters)s,
       %(actor_kind)s, %(actor)s, i.severity, 'started', %(attempt)s, %(dry_run)s, %(undoes)s, %(statements)s,
       %(now)s
FROM incident i WHERE i.id = %(incident_id)s
RETURNING *;

-- name: permit
-- Whether a fix row is committed and waiting to be made.
SELECT severity, actor_kind FROM fix WHERE id = %(id)s AND status = 'started';

-- name: unsettled_fix
-- A fix of the incident whose fate is open, and whether our database failed over since it began: then
-- all that was recorded of it may be lost.
SELECT f.*, coalesce(a.failed_over_at > f.started_at, false) AS failed_over
FROM fix f, autofix a
WHERE f.incident_id = %(incident_id)s AND f.status IN ('started', 'recorded')
FOR UPDATE OF f;

-- name: verifying_fix
-- The fix of the incident whose verification is open.
SELECT * FROM fix WHERE incident_id = %(incident_id)s AND verification = 'waiting' AND status = 'committed'
FOR UPDATE;

-- name: lock_gate
-- The rows at the last gate. It may wait for them, so what is decided there is read by a later statement.
SELECT FROM fix f, incident i, autofix a
WHERE f.id = %(id)s AND i.id = f.incident_id
FOR UPDATE OF f, i FOR SHARE OF a;

-- name: gate
-- The last gate: all that may still speak against a fix, as it is now that those rows are locked.
SELECT a.enabled, coalesce(a.failed_over_at > i.opened_at, false) AS our_failover,
       i.status AS incident_status, i.severity, i.severity_unreadable, i.attempt,
       (f.attempt = i.attempt AND f.status = 'started') AS fenced,
       f.actor_kind, f.undoes,
       EXISTS (SELECT FROM incident o WHERE o.target = f.target AND o.stage <> 'done' AND o.id <> i.id
               AND o.status <> 'resolved' AND o.severity IN ('P0', 'P1')) AS target_on_fire,
       EXISTS (SELECT FROM promotion p WHERE p.rule = f.rule AND p.checksum = f.rule_checksum
               AND p.autonomy = 'act') AS promoted,
       EXISTS (SELECT FROM delivery d WHERE d.triaged_at IS NULL AND d.page_due_at IS NOT NULL) AS page_untriaged
FROM fix f, incident i, autofix a
WHERE f.id = %(id)s AND i.id = f.incident_id;

-- name: record_fix
-- Step 3: the decision; the severity is copied from the locked incident, so the CHECK acts now.
UPDATE fix f
SET status = 'recorded', recorded_at = %(now)s, severity = i.severity, xid = %(xid)s,
    system_identifier = %(system_identifier)s, timeline = %(timeline)s, counts = %(counts)s,
    before_rows = %(before_rows)s::jsonb, after_rows = %(after_rows)s::jsonb, left_rows = %(left_rows)s,
    image_sha256 = %(image_sha256)s
FROM incident i
WHERE f.id = %(id)s AND i.id = f.incident_id AND f.status = 'started' AND f.attempt = i.attempt
RETURNING f.*;

-- name: note_fix
-- What the target said at the end of work that is settled later, by what the target shows.
UPDATE fix SET reason = %(reason)s WHERE id = %(id)s AND status = 'recorded';

-- name: settle_fix
-- What became of it; nothing when somebody else has settled it already. An undo is not verified.
UPDATE fix
SET status = %(status)s, reason = %(reason)s, ended_at = %(now)s,
    verification = CASE WHEN undoes IS NULL THEN %(verification)s END
WHERE id = %(id)s AND status IN ('started', 'recorded')
RETURNING *;

-- name: name_left
-- The rows that an undo left as they are, where that is all of them.
UPDATE fix SET left_rows = %(left_rows)s WHERE id = %(id)s AND status = 'started';

-- name: settle_dry_run
-- It was made, looked at and taken back: what it would have changed.
UPDATE fix
SET status = 'rolled_back', reason = %(reason)s, ended_at = %(now)s, counts = %(counts)s,
    before_rows = %(before_rows)s::jsonb, after_rows = %(after_rows)s::jsonb, left_rows = %(left_rows)s,
    image_sha256 = %(image_sha256)s
WHERE id = %(id)s AND dry_run AND status = 'started'
RETURNING *;

-- name: verify_fix
-- How the verification went.
UPDATE fix SET verification = %(verification)s, verified_at = %(now)s
WHERE id = %(id)s AND verification = 'waiting';

-- name: suspend_verification
-- While it is being undone it is not verified: a fix that was made has no verification at that time alone.
UPDATE fix SET verification = NULL WHERE id = %(id)s AND verification = 'waiting';

-- name: resume_verification
-- The undo came to nothing, so what was suspended for it goes on.
UPDATE fix SET verification = 'waiting'
WHERE incident_id = %(incident_id)s AND status = 'committed' AND verification IS NULL AND undoes IS NULL
RETURNING id;

-- name: end_verification
-- Nobody will ask any more whether it held.
UPDATE fix SET verification = 'not_asked', verified_at = %(now)s
WHERE incident_id = %(incident_id)s AND status = 'committed' AND undoes IS NULL
  AND (verification = 'waiting' OR verification IS NULL)
RETURNING id;

-- name: image
-- The exact rows before and after: encrypted while they are kept, or in the open as an earlier release
-- kept them, as texts, so that no digit is lost on the way.
SELECT f.image_sha256, f.before_rows::text AS before, f.after_rows::text AS after, i.encrypted, i.expires_at
FROM fix f LEFT JOIN fix_image i ON i.fix_id = f.id AND i.expires_at > %(now)s
WHERE f.id = %(id)s;

-- name: insert_image
-- The exact rows of a fix, until it cannot be undone any more.
INSERT INTO fix_image (fix_id, encrypted, expires_at) VALUES (%(fix_id)s, %(encrypted)s, %(expires_at)s);

-- name: tidy_images
-- Exact rows of fixes that cannot be undone any more.
DELETE FROM fix_image i WHERE i.expires_at <= %(now)s
  AND NOT EXISTS (SELECT FROM fix f JOIN held_incident h USING (incident_id) WHERE f.id = i.fix_id);

-- name: fixes_in_the_open
-- Fixes that are over and whose exact rows an earlier release kept in the open.
SELECT id, incident_id, dry_run, ended_at, left_rows, before_rows::text AS before, after_rows::text AS after
FROM fix
WHERE image_sha256 IS NULL AND (before_rows <> '[]' OR after_rows <> '[]') AND ended_at IS NOT NULL
LIMIT 20 FOR UPDATE SKIP LOCKED;

-- name: hide_rows
-- From now on it shows its rows redacted.
UPDATE fix
SET before_rows = %(before_rows)s::jsonb, after_rows = %(after_rows)s::jsonb, left_rows = %(left_rows)s,
    image_sha256 = %(image_sha256)s
WHERE id = %(id)s;

-- name: mark_undone
-- It was taken back.
UPDATE fix SET status = 'undone' WHERE id = %(id)s AND status = 'committed';

-- name: undone_by
-- Who took it back, or tried to and nobody knows.
SELECT id, actor, status FROM fix
WHERE undoes = %(id)s AND NOT dry_run AND status NOT IN ('refused', 'rolled_back');

-- name: refusals
-- How often a fix of an incident came to nothing without harm, within the hour; a refusal may come
-- before there is a row of it, so those are counted by their events. What people asked for is not.
SELECT (SELECT count(*) FROM audit_event e
        WHERE e.incident_id = %(incident_id)s AND e.what = 'fix' AND e.after = 'refused'
          AND e.actor_kind = 'responder' AND e.at > %(now)s - interval '1 hour') AS refused,
       count(*) FILTER (WHERE status = 'rolled_back' AND reason LIKE 'interrupted%%') AS interrupted,
       count(*) FILTER (WHERE status = 'rolled_back' AND reason LIKE 'outrun%%') AS outrun
FROM fix WHERE incident_id = %(incident_id)s AND started_at > %(now)s - interval '1 hour'
  AND actor_kind = 'responder';

-- name: incident_fixes
-- The fixes of an incident, in order.
SELECT * FROM fix WHERE incident_id = %(id)s ORDER BY started_at, id;

-- name: fix
-- One fix.
SELECT * FROM fix WHERE id = %(id)s;

-- name: open_fix
-- The fix of this key that is under way or being verified.
SELECT id, status, verification, actor FROM fix
WHERE key = %(key)s AND (status IN ('started', 'recorded') OR verification = 'waiting');

-- name: newest_fixes
-- The newest fixes of all incidents.
SELECT * FROM fix ORDER BY started_at DESC, id DESC LIMIT %(limit)s;

-- name: recorded_fixes
-- Fixes that are decided and whose commit nobody has confirmed yet.
SELECT id FROM fix WHERE status = 'recorded' ORDER BY recorded_at;

-- name: autofix
-- Whether fixes are made automatically, and who said so.
SELECT enabled, reason, actor, at FROM autofix;

-- name: lock_autofix
-- The same, after every gate that is being passed now, and before every later one.
SELECT enabled, reason, actor, at FROM autofix FOR UPDATE;

-- name: switch_off
-- No fix is made automatically from now on.
UPDATE autofix SET enabled = false, reason = %(reason)s, actor = %(actor)s, at = %(now)s;

-- name: switch_on
-- Fixes are made automatically from now on.
UPDATE autofix SET enabled = true, reason = %(reason)s, actor = %(actor)s, at = %(now)s;

-- name: switch_off_after_failover
-- Our database is another server or timeline than it was: off until a person switches it on again.
UPDATE autofix a
SET enabled = false, reason = 'our_failover', actor = 'responder', at = %(now)s, failed_over_at = %(now)s,
    system_identifier = s.system_identifier, timeline = s.timeline
FROM autofix before, (
    SELECT system_identifier::text,
           ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline
    FROM pg_control_system()) s
WHERE (a.system_identifier, a.timeline) <> (s.system_identifier, s.timeline)
RETURNING before.enabled;
