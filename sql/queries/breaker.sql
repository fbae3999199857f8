-- name: breaker
-- What counts against the fixes of a key since a person reset its breaker.
SELECT failed_fixes, unknown_fixes, undone_fixes FROM breaker WHERE key = %(key)s;

-- name: reset_breaker
-- A person has looked: what was before does not count any more.
INSERT INTO breaker_reset (key, at, actor, reason) VALUES (%(key)s, %(now)s, %(actor)s, %(reason)s)
ON CONFLICT (key) DO UPDATE SET at = EXCLUDED.at, actor = EXCLUDED.actor, reason = EXCLUDED.reason;

-- name: breakers_open
-- Keys whose breaker is open.
SELECT count(*) AS breakers FROM breaker WHERE failed_fixes >= %(limit)s OR unknown_fixes + undone_fixes > 0;
