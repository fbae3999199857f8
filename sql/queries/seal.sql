-- name: try_sealing
-- One process seals at a time; the lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('responder:seal', 0)) AS got;

-- name: last_seal
-- The newest seal.
SELECT number, at, events, root, previous, system_identifier, timeline, kid, signature
FROM seal ORDER BY number DESC LIMIT 1;

-- name: take_unsealed
-- The events that have waited longest for their seal; a transaction that takes them must seal them.
DELETE FROM unsealed u USING (SELECT id FROM unsealed ORDER BY id LIMIT %(limit)s) t
WHERE u.id = t.id
RETURNING u.filed_at, u.id;

-- name: leaves
-- The leaf of each of these events, in the order asked for; an event that is not there has none. The text
-- is that of responder.domain.witnessed. Only functions of PostgreSQL itself: ours may have been replaced.
SELECT w.position::int AS position, e.id IS NOT NULL AS there, CASE WHEN e.id IS NOT NULL THEN
    pg_catalog.sha256('\x00'::bytea || pg_catalog.convert_to(pg_catalog.jsonb_build_array(
        1, trunc(extract(epoch FROM e.filed_at) * 1000000), trunc(extract(epoch FROM e.at) * 1000000),
        e.id, e.actor_kind, e.actor, e.what, e.incident_id, e.subject, e.before, e.after, e.details,
        e.code_version, e.xid::text)::text, 'UTF8')) END AS leaf
FROM unnest(%(filed)s::timestamptz[], %(ids)s::uuid[]) WITH ORDINALITY AS w(filed_at, id, position)
LEFT JOIN LATERAL (  -- one by one by their key, however wide the months are that they come from
    SELECT * FROM audit_event a
    WHERE a.filed_at = w.filed_at AND a.id = w.id AND a.filed_at BETWEEN %(filed_from)s AND %(filed_to)s
    LIMIT 1) e ON true
ORDER BY w.position;

-- name: insert_seal
-- One more seal, made on this server.
INSERT INTO seal (number, at, events, filed_from, filed_to, root, previous, system_identifier, timeline, kid,
                  signature, filed, ids, leaves)
VALUES (%(number)s, %(at)s, %(events)s, %(filed_from)s, %(filed_to)s, %(root)s, %(previous)s,
        %(system_identifier)s, %(timeline)s, %(kid)s, %(signature)s, %(filed)s, %(ids)s, %(leaves)s);

-- name: this_server
-- Which server and timeline answers.
SELECT system_identifier::text,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline
FROM pg_control_system();

-- name: queue_backlog
-- The next events from before there were seals; done when there are no more.
WITH next AS (
    SELECT e.filed_at, e.id FROM audit_event e, seal_backlog b
    WHERE (e.filed_at, e.id) > (b.filed_at, b.id) AND NOT e.queued AND NOT b.done
    ORDER BY e.filed_at, e.id LIMIT %(limit)s),
queued AS (INSERT INTO unsealed (filed_at, id) SELECT filed_at, id FROM next),
last AS (SELECT filed_at, id FROM next ORDER BY filed_at DESC, id DESC LIMIT 1)
UPDATE seal_backlog b
SET filed_at = coalesce(l.filed_at, b.filed_at), id = coalesce(l.id, b.id), done = l.id IS NULL
FROM (SELECT 1) one LEFT JOIN last l ON true
WHERE NOT b.done;

-- name: unsealed
-- How many events wait for a seal, at most 100,000, and for how long the oldest has.
SELECT (SELECT count(*) FROM (SELECT FROM unsealed LIMIT 100000) u) AS events,
       coalesce(extract(epoch FROM clock_timestamp() - (SELECT queued_at FROM unsealed ORDER BY id LIMIT 1)), 0)::float
           AS seconds;

-- name: seals_after
-- The next seals, so many that they cover no more events than asked for, but at least one.
SELECT number, at, events, root, previous, system_identifier, timeline, kid, signature, filed, ids, leaves
FROM (SELECT s.*, sum(cardinality(s.ids)) OVER (ORDER BY s.number) - cardinality(s.ids) AS earlier
      FROM (SELECT * FROM seal WHERE number > %(number)s ORDER BY number LIMIT 500) s) s
WHERE earlier < %(events)s ORDER BY number;

-- name: claim_copy
-- One process writes to a copy outside at a time; after a failure nobody does for a moment.
INSERT INTO seal_copy AS c (place, claimed_until) VALUES (%(place)s, %(now)s + %(lease)s::interval)
ON CONFLICT (place) DO UPDATE SET claimed_until = EXCLUDED.claimed_until WHERE c.claimed_until <= %(now)s
RETURNING number;

-- name: seals_to_copy
-- The next seals that a copy outside lacks.
SELECT number, at, events, root, previous, system_identifier, timeline, kid, signature
FROM seal WHERE number > %(number)s ORDER BY number LIMIT %(limit)s;

-- name: copied
-- The copy outside has come so far.
UPDATE seal_copy SET number = %(number)s, claimed_until = %(now)s, copied_at = %(now)s, failures = 0, error = ''
WHERE place = %(place)s;

-- name: copied_to
-- How far this copy has come, as we know it.
SELECT number FROM seal_copy WHERE place = %(place)s;

-- name: not_copied
-- It could not be written this time.
UPDATE seal_copy SET failures = failures + 1, error = %(error)s WHERE place = %(place)s;

-- name: seal_copies
-- How each copy outside fares.
SELECT p.place, coalesce(c.failures, 0) AS failures, coalesce(c.error, '') AS error, c.copied_at,
       coalesce((SELECT max(number) FROM seal), 0) - coalesce(c.number, 0) AS behind
FROM unnest(%(places)s::text[]) AS p(place) LEFT JOIN seal_copy c ON c.place = p.place ORDER BY p.place;

-- name: seal_before
-- The last seal from before this time.
SELECT number, at, events, root, previous, system_identifier, timeline, kid, signature
FROM seal WHERE at < %(since)s ORDER BY at DESC LIMIT 1;

-- name: seals_numbered
-- Seals by their numbers, without their events.
SELECT number, at, events, root, previous, system_identifier, timeline, kid, signature
FROM seal WHERE number = ANY(%(numbers)s);

-- name: seal_ahead_of
-- The number from which on the newest seals cover so many events.
SELECT coalesce(min(number) - 1, 0) AS number
FROM (SELECT number, sum(events) OVER (ORDER BY number DESC) - events AS later
      FROM (SELECT number, events FROM seal ORDER BY number DESC LIMIT 500) s) s
WHERE later < %(events)s;

-- name: seal_of_event
-- The seal that holds an event, the likeliest first: those made soonest after it. What was sealed late, such as
-- what is older than the seals, lies behind thousands of them; each says from when to when its events were filed.
SELECT number, at, events, root, previous, system_identifier, timeline, kid, signature, filed, ids, leaves
FROM (SELECT * FROM seal WHERE at >= %(at)s::timestamptz - interval '1 minute'
      AND filed_from <= %(filed_at)s AND filed_to >= %(filed_at)s ORDER BY at LIMIT 1000) s
WHERE %(id)s = ANY(ids) LIMIT 1;

-- name: rule_sources
-- The code of all rules that were ever loaded.
SELECT checksum, rule, module, sql FROM rule_source ORDER BY rule, seen_at;

-- name: keep_rule_source
-- The code of a rule, when it is first seen.
INSERT INTO rule_source (checksum, rule, module, sql) VALUES (%(checksum)s, %(rule)s, %(module)s, %(sql)s)
ON CONFLICT DO NOTHING;
