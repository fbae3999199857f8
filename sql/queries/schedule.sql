-- name: schedules
-- Which checks are planned.
SELECT rule, target, cron FROM schedule;

-- name: due_checks
-- Which are due.
SELECT rule, target, cron FROM schedule WHERE due_at <= %(now)s;

-- name: plan_check
-- The first time of a check that is new.
INSERT INTO schedule (rule, target, cron, due_at)
VALUES (%(rule)s, %(target)s, %(cron)s, %(due_at)s)
ON CONFLICT DO NOTHING;

-- name: lease_check
-- One process asks; should it die, the check comes again when its lease is over.
UPDATE schedule SET due_at = %(now)s + %(lease)s::interval
WHERE rule = %(rule)s AND target = %(target)s AND cron = %(cron)s AND due_at <= %(now)s
RETURNING due_at, tries;

-- name: take_check
-- It is still the one that was leased, and now it is due at another time.
UPDATE schedule SET due_at = %(next)s, tries = %(tries)s
WHERE rule = %(rule)s AND target = %(target)s AND cron = %(cron)s AND due_at = %(leased)s;

-- name: condition_firing
-- Whether a condition is firing.
SELECT firing FROM condition WHERE source = %(source)s AND fingerprint = %(fingerprint)s;
