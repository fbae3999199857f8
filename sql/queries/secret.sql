-- name: see_secret
-- A version is there, or was used; written at most once a minute over all processes, and each ten
-- minutes while nobody uses it.
INSERT INTO secret_version AS s (key, version, first_seen, last_used, seen_at)
VALUES (%(key)s, %(version)s, %(now)s, CASE WHEN %(used)s THEN %(now)s END, CASE WHEN %(live)s THEN %(now)s END)
ON CONFLICT (key, version) DO UPDATE
SET last_used = CASE WHEN %(used)s THEN EXCLUDED.last_used ELSE s.last_used END,
    seen_at = CASE WHEN %(live)s THEN EXCLUDED.seen_at ELSE s.seen_at END
WHERE (%(used)s AND coalesce(s.last_used, '-infinity') < %(now)s - interval '50 seconds')
   OR (%(live)s AND coalesce(s.seen_at, '-infinity') < %(now)s - interval '10 minutes')
RETURNING xmax = 0 AS is_new;

-- name: lock_secret
-- One version, held until the transaction ends.
SELECT first_seen, last_used FROM secret_version WHERE key = %(key)s AND version = %(version)s FOR UPDATE;

-- name: retire_secret
-- Nobody has it any more; a process that still has it says so again.
UPDATE secret_version SET seen_at = NULL WHERE key = %(key)s AND version = %(version)s;

-- name: secret_versions
-- All versions, the newest of each key first.
SELECT key, version, first_seen, last_used, coalesce(seen_at > %(now)s - %(live)s::interval, false) AS is_live,
       extract(epoch FROM %(now)s - first_seen) / 86400 AS days
FROM secret_version ORDER BY key, first_seen DESC, version;

-- name: secret_ages
-- The age in days of the oldest live version of each secret.
SELECT key, extract(epoch FROM %(now)s - min(first_seen)) / 86400 AS days
FROM secret_version WHERE seen_at > %(now)s - %(live)s::interval GROUP BY key ORDER BY key;

-- name: digest_secrets
-- Secrets that reached an age at which people are told since then, and those that are overdue.
SELECT key, floor(extract(epoch FROM %(now)s - oldest) / 86400)::int AS days, oldest + %(longest)s::interval AS due_at,
       oldest + %(longest)s::interval <= %(now)s AS overdue, count(*) OVER () AS in_all
FROM (SELECT key, min(first_seen) AS oldest FROM secret_version
      WHERE seen_at > %(now)s - %(live)s::interval GROUP BY key) s
WHERE oldest + %(longest)s::interval <= %(now)s
   OR EXISTS (SELECT FROM unnest(%(marks)s::interval[]) mark WHERE oldest + mark > %(since)s AND oldest + mark <= %(now)s)
ORDER BY oldest, key LIMIT %(most)s;

-- name: lock_secrets
-- Files of secrets are changed one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('responder:secrets', 0));
