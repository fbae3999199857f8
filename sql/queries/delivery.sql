-- name: insert_deliveries
-- What senders handed in, as it came and as it was normalised; also as all of a transaction.
WITH told AS (
    SELECT d.*, coalesce(%(now)s::timestamptz, now() + %(offset)s::interval) AS received_at
    FROM jsonb_to_recordset(%(rows)s) AS d (
        id uuid, source text, outcome text, encrypted text, body_sha256 text, body_bytes int, headers jsonb,
        notices jsonb, alert_count int, page_within interval, triaged boolean, note text, priority smallint)),
raw AS (
    INSERT INTO raw_body (delivery_id, received_at, encrypted)
    SELECT id, received_at, decode(encrypted, 'base64') FROM told WHERE encrypted IS NOT NULL)
INSERT INTO delivery (id, received_at, source, outcome, body_sha256, body_bytes, headers, notices,
                      alert_count, page_due_at, triaged_at, note, priority)
SELECT id, received_at, source, outcome, decode(body_sha256, 'hex'), body_bytes, headers, notices,
       alert_count, received_at + page_within, CASE WHEN triaged THEN received_at END, note, priority
FROM told;

-- name: insert_delivery_key
-- The sender's own id of a delivery; no row comes back when it was seen in the last seven days.
INSERT INTO delivery_key AS k (source, key, delivery_id, received_at)
VALUES (%(source)s, %(key)s, %(delivery_id)s, %(now)s)
ON CONFLICT (source, key) DO UPDATE
SET delivery_id = EXCLUDED.delivery_id, received_at = EXCLUDED.received_at
WHERE k.received_at < %(now)s - interval '7 days'
RETURNING delivery_id;

-- name: known_delivery
-- The delivery that came under this key before.
SELECT delivery_id FROM delivery_key WHERE source = %(source)s AND key = %(key)s;

-- name: lock_delivery
-- A delivery that waits for triage; nothing when somebody else has it in hand.
SELECT id, received_at, source, notices, page_due_at, failures
FROM delivery
WHERE id = %(id)s AND triaged_at IS NULL
FOR UPDATE SKIP LOCKED;

-- name: hurry
-- Locks are not waited for in this transaction.
SELECT set_config('lock_timeout', '300ms', true), set_config('statement_timeout', '1s', true);

-- name: finish_deliveries
-- Every alert of them has its outcome now.
UPDATE delivery d SET triaged_at = %(now)s
FROM unnest(%(times)s::timestamptz[], %(ids)s::uuid[]) AS f (received_at, id)
WHERE d.received_at = f.received_at AND d.id = f.id;

-- name: quarantine_delivery
-- Triage failed three times on it; it is kept for people to look at.
UPDATE delivery SET outcome = 'quarantined', note = %(note)s
WHERE received_at = %(received_at)s AND id = %(id)s;

-- name: due_deliveries
-- Deliveries with a P0 or P1 that no worker has triaged in time; none that failed before, or that another
-- hand holds, which may have died of it.
SELECT d.id FROM delivery d
WHERE d.triaged_at IS NULL AND d.page_due_at <= %(now)s AND d.failures = 0
  AND NOT EXISTS (SELECT FROM in_hand h WHERE h.drain <> %(hand)s AND d.id = ANY(h.deliveries))
ORDER BY d.page_due_at
LIMIT 50;

-- name: stuck_deliveries
-- The same, so much overdue that whoever has them in hand is stuck; read without a lock.
SELECT received_at, notices FROM delivery
WHERE triaged_at IS NULL AND page_due_at <= %(now)s - %(stuck_after)s::interval
ORDER BY page_due_at
LIMIT 50;

-- name: delivery
-- One delivery, without its body.
SELECT id, received_at, source, outcome, headers, alert_count, triaged_at, note,
       encode(body_sha256, 'hex') AS body_sha256, coalesce(body_bytes, length(body), 0) AS body_bytes
FROM delivery WHERE id = %(id)s;

-- name: delivery_alerts
-- What became of each alert of a delivery.
SELECT id, received_at, source, outcome, fingerprint, status, name, incident_id, note
FROM alert WHERE delivery_id = %(id)s ORDER BY id;

-- name: deliveries
-- The newest deliveries, before a cursor.
SELECT id, received_at, source, outcome, alert_count, triaged_at, note
FROM delivery
WHERE (%(before)s::timestamptz IS NULL OR (received_at, id) < (%(before)s::timestamptz, %(before_id)s))
  AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
ORDER BY received_at DESC, id DESC
LIMIT %(limit)s;

-- name: insert_alerts
-- Notices, each with its outcome; written once.
INSERT INTO alert (id, received_at, delivery_id, source, outcome, fingerprint, status, name, notice,
                   incident_id, note)
SELECT a.id, a.received_at, a.delivery_id, a.source, a.outcome, a.fingerprint, a.status, a.name, a.notice,
       a.incident_id, a.note
FROM jsonb_to_recordset(%(rows)s) AS a (
    id uuid, received_at timestamptz, delivery_id uuid, source text, outcome text, fingerprint text, status
    text, name text, notice jsonb, incident_id uuid, note text);

-- name: told_alerts
-- How many alerts of a delivery have their outcome.
SELECT count(*) AS alerts FROM alert WHERE delivery_id = %(id)s;

-- name: make_conditions
-- Conditions that are new get a row, so that it can be locked; in order, so that nobody deadlocks.
INSERT INTO condition (source, fingerprint, last_seen, latest, firing)
SELECT n.source, n.fingerprint, %(now)s, '{}', false
FROM unnest(%(sources)s::text[], %(fingerprints)s::text[]) AS n (source, fingerprint)
ORDER BY n.source, n.fingerprint
ON CONFLICT DO NOTHING;

-- name: condition_times
-- The maxima over all that was told of a condition.
SELECT fired_at, fired_seen, ended_at, ended_seen FROM condition
WHERE source = %(source)s AND fingerprint = %(fingerprint)s;

-- name: lock_conditions
-- What is known of these conditions.
SELECT c.source, c.fingerprint, c.fired_at, c.fired_seen, c.ended_at, c.ended_seen, c.last_seen, c.latest,
       c.incident_id, c.held_until, c.held_by
FROM unnest(%(sources)s::text[], %(fingerprints)s::text[]) AS n (source, fingerprint)
JOIN condition c ON c.source = n.source AND c.fingerprint = n.fingerprint
ORDER BY c.source, c.fingerprint
FOR UPDATE OF c;

-- name: update_conditions
-- What is known of them after the merge.
UPDATE condition c
SET fired_at = n.fired_at, fired_seen = n.fired_seen, ended_at = n.ended_at, ended_seen = n.ended_seen,
    last_seen = n.last_seen, latest = n.latest, firing = n.firing, incident_id = n.incident_id,
    held_until = n.held_until, held_by = n.held_by
FROM jsonb_to_recordset(%(rows)s) AS n (
    source text, fingerprint text, fired_at timestamptz, fired_seen timestamptz, ended_at timestamptz,
    ended_seen timestamptz, last_seen timestamptz, latest jsonb, firing boolean, incident_id uuid,
    held_until timestamptz, held_by uuid)
WHERE c.source = n.source AND c.fingerprint = n.fingerprint;

-- name: lease_held
-- The next condition whose window is over; it comes again after the lease unless it is taken up.
UPDATE condition SET held_until = %(now)s + %(lease)s::interval
WHERE (source, fingerprint) = (
    SELECT source, fingerprint FROM condition WHERE held_until <= %(now)s
    ORDER BY held_until LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING source, fingerprint, held_until, latest;

-- name: lock_held
-- It is still the one that was leased.
SELECT incident_id, held_by, firing FROM condition
WHERE source = %(source)s AND fingerprint = %(fingerprint)s AND held_until = %(held_until)s
FOR UPDATE;

-- name: hold_longer
-- Another window keeps it back.
UPDATE condition SET held_until = %(until)s, held_by = %(by)s
WHERE source = %(source)s AND fingerprint = %(fingerprint)s AND held_until = %(held_until)s;

-- name: held_no_more
-- It is in the hands of an incident.
UPDATE condition SET held_until = NULL, held_by = NULL, incident_id = %(incident_id)s
WHERE source = %(source)s AND fingerprint = %(fingerprint)s AND held_until = %(held_until)s;

-- name: rate_exceeded
-- How long to wait when a source has had its deliveries of the last minute; no row when it has not.
SELECT extract(epoch FROM received_at + interval '1 minute' - %(now)s)::float8 AS wait
FROM delivery
WHERE source = %(source)s AND received_at > %(now)s - interval '1 minute'
ORDER BY received_at DESC
OFFSET %(before)s LIMIT 1;

-- name: delivery_rests
-- Whether a delivery is triaged and none of its incidents is walking, and which they are.
SELECT coalesce(bool_and(d.triaged_at IS NOT NULL), false) AND NOT EXISTS (
           SELECT FROM alert a JOIN incident i ON i.id = a.incident_id
           WHERE a.delivery_id = %(id)s AND i.walking) AS rests,
       ARRAY(SELECT DISTINCT a.incident_id FROM alert a
             WHERE a.delivery_id = %(id)s AND a.incident_id IS NOT NULL ORDER BY 1 LIMIT 20) AS incidents
FROM delivery d WHERE d.id = %(id)s;

-- name: delivery_body
-- What came, as it came: encrypted, or in the open when an earlier release kept it; for so many days, or
-- as long as it is held.
SELECT d.id, d.body, r.encrypted
FROM delivery d
LEFT JOIN raw_body r ON r.received_at = d.received_at AND r.delivery_id = d.id
    AND (d.received_at > %(now)s - %(kept_for)s::interval
         OR EXISTS (SELECT FROM held_delivery h WHERE h.received_at = d.received_at AND h.delivery_id = d.id))
WHERE d.id = %(id)s;

-- name: lock_quarantined
-- A delivery with anything quarantined in it, held until the transaction ends.
SELECT id, received_at, source, outcome, headers, notices, note, note LIKE 'redriven as %%' AS redriven
FROM delivery
WHERE id = %(id)s AND (outcome = 'quarantined' OR notices @? '$[*].malformed')
FOR UPDATE;

-- name: lock_open_bodies
-- Up to where deliveries were searched for bodies in the open; nothing when somebody else searches.
SELECT encrypted_to FROM housekeeping FOR UPDATE SKIP LOCKED;

-- name: open_bodies
-- The next deliveries whose bodies an earlier release kept in the open.
SELECT id, received_at, body FROM delivery
WHERE received_at >= %(encrypted_to)s AND body IS NOT NULL
ORDER BY received_at LIMIT 100;

-- name: keep_encrypted
-- A body as it is kept from now on; none of it when it is too old to be kept.
WITH raw AS (
    INSERT INTO raw_body (delivery_id, received_at, encrypted)
    SELECT %(id)s, %(received_at)s, %(encrypted)s WHERE %(received_at)s > %(now)s - %(kept_for)s::interval)
UPDATE delivery SET body = NULL, body_bytes = length(body)
WHERE received_at = %(received_at)s AND id = %(id)s;

-- name: searched_bodies
-- So far nothing is in the open any more.
UPDATE housekeeping SET encrypted_to = %(encrypted_to)s;

-- name: note_delivery
-- What became of it later.
UPDATE delivery SET note = %(note)s WHERE received_at = %(received_at)s AND id = %(id)s;

-- name: enrich_delivery
-- What its sender told when asked.
UPDATE delivery SET notices = %(notices)s, alert_count = %(alert_count)s
WHERE received_at = %(received_at)s AND id = %(id)s;
