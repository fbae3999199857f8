-- Thirteen months of a busy responder: `bench.incidents` incidents with `bench.alerts` alerts and `bench.events` audit
-- events each, and the answers, decisions, fixes and messages that go with them. Read by lists.py and by the test of plans. Nothing here waits: all is triaged, told and over, but for what is a day old.
SET search_path = responder, responder_jobs;
SET session_replication_role = replica;
SET synchronous_commit = on;  -- otherwise a VACUUM right afterwards would not call the rows visible to all

CREATE FUNCTION pg_temp.id_at(at timestamptz, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
            || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid
$$;

SELECT make_partition(parent, parent || '_' || to_char(m, 'YYYYMM'), m AT TIME ZONE 'UTC',
                      (m + interval '1 month') AT TIME ZONE 'UTC')
FROM unnest(ARRAY['alert', 'audit_event']) parent,
     generate_series(date_trunc('month', now() AT TIME ZONE 'UTC' - interval '14 months'),
                     now() AT TIME ZONE 'UTC', interval '1 month') m;
SELECT make_partitions(now() - d * interval '1 day') FROM generate_series(0, 28, 7) d;

-- The newest is a minute old; n counts backwards in time.
CREATE TEMP TABLE n AS
SELECT n, at, pg_temp.id_at(at, n) AS id, n <= 20 AS open,
       CASE WHEN n % 50 = 0 THEN 'P0' WHEN n % 10 = 0 THEN 'P1' WHEN n % 3 = 0 THEN 'P3' ELSE 'P2' END AS severity,
       (ARRAY['shopify_queue_stuck', 'slow_queries', 'database_down', 'circuit_breaker_open', NULL])[1 + n % 5] AS rule
FROM (SELECT n, now() - interval '1 minute'
                - n * (interval '400 days' / current_setting('bench.incidents')::int) AS at
      FROM generate_series(1, current_setting('bench.incidents')::int) n) s;

INSERT INTO incident (id, key, title, source, rule, rule_checksum, target, parameters, labels, status, stage,
                      severity, severity_unreadable, findings, decision_id, opened_at, seen_at, resolved_at,
                      resolved_by)
SELECT id, 'key ' || n % 5000 || CASE WHEN open THEN ' open' ELSE '' END,
       (ARRAY['Shopify queue is stuck', 'Queries are slow', 'The database does not answer',
              'A breaker is open', 'Certificate expires'])[1 + n % 5] || ' on host ' || n % 700, 'alertmanager',
       rule, 'c0ffee', 'shop_' || n % 3, '{}',
       jsonb_build_object('alertname', 'A' || n % 5, 'env', 'production', 'instance', 'host-' || n % 700),
       CASE WHEN open THEN 'open' ELSE 'resolved' END, CASE WHEN open THEN 'watch' ELSE 'done' END,
       severity, false,
       jsonb_build_array(jsonb_build_object('name', 'stuck', 'summary', 'Items wait for longer than ten minutes.',
                                            'rows', '[]'::jsonb, 'offers', '[]'::jsonb)),
       id, at, at + interval '5 minutes', CASE WHEN NOT open THEN at + interval '20 minutes' END,
       CASE WHEN NOT open THEN 'sender' END
FROM n;
INSERT INTO timer (incident_id, what, due_at) SELECT id, 'settle', now() + interval '1 day' FROM n WHERE open;

INSERT INTO condition (source, fingerprint, fired_at, last_seen, latest, firing, incident_id)
SELECT 'alertmanager', 'f' || n, at, at, '{}', open, id FROM n WHERE n <= 5000;

INSERT INTO answer (incident_id, attempt, position, name, question, target, sql, parameters, status, answer)
SELECT id, 1, p, 'question_' || p, 'How many are there?', 'shop_0', 'SELECT 1', '{}', 'ok',
       jsonb_build_object('status', 'ok', 'asked_at', at, 'ms', 3, 'shared', false, 'rows', '[{"n": 1}]'::jsonb,
                          'row_count', 1, 'truncated', false, 'error', NULL)
FROM n, generate_series(1, 4) p;

INSERT INTO decision (id, incident_id, rule_checksum, at, attempt, action, reason, sentence, finding, option,
                      parameters, findings, facts)
SELECT id, id, 'c0ffee', at + interval '1 s', 1, CASE WHEN n % 3 = 1 THEN 'fix' ELSE 'propose' END,
       CASE n % 3 WHEN 1 THEN 'allowed' WHEN 2 THEN 'autonomy' ELSE 'severity' END, 'It is so.', 'stuck', 'requeue',
       '{}', '[]', '{}'
FROM n;

INSERT INTO fix (id, incident_id, decision_id, key, rule, rule_checksum, option, target, parameters, actor_kind,
                 actor, severity, status, attempt, counts, before_rows, after_rows, verification, verified_at,
                 started_at, recorded_at, ended_at, image_sha256)
SELECT id, id, id, 'key ' || n % 5000, 'shopify_queue_stuck', 'c0ffee', 'requeue', 'shop_' || n % 3, '{}',
       CASE WHEN n % 3 = 1 AND severity IN ('P2', 'P3') THEN 'responder' ELSE 'person' END, 'somebody', severity,
       'committed', 1, '{"shopify_sync_queue": 12}', '[{"id": 1, "status": "failed"}]',
       '[{"id": 1, "status": "queued"}]', 'held', at + interval '70 s',
       at + interval '5 s', at + interval '6 s', at + interval '7 s', sha256('')
FROM n WHERE n % 2 = 1 AND NOT open;

INSERT INTO review (incident_id, picked, waiting, due_at, verdict, actor, at, rule, rule_checksum)
SELECT id, 'fixed', n < 200, at + interval '3 days', CASE WHEN n >= 200 THEN 'useful' END, 'somebody', at, rule, 'c0ffee'
FROM n WHERE n % 2 = 1 AND NOT open;

INSERT INTO note (id, incident_id, at, actor, body)
SELECT id, id, at + interval '3 minutes', 'somebody', 'I have looked: the consumer is back.' FROM n WHERE n % 4 = 0;

INSERT INTO notification (id, incident_id, key, receiver, happening, page, status, document, created_at, due_at,
                          attempts, sent_at)
SELECT pg_temp.id_at(at + k * interval '1 minute', n * 4 + k), id, 'key ' || n % 5000,
       (ARRAY['on_call', 'ops', 'hook', 'email'])[1 + k],
       CASE WHEN k < 2 THEN 'opened' ELSE 'resolved' END, k = 0,
       CASE WHEN n % 1000 = 0 THEN 'dead' ELSE 'sent' END, '{"version": 1}', at + k * interval '1 minute',
       at + k * interval '1 minute', 1, at + k * interval '1 minute' + interval '1 s'
FROM n, generate_series(0, 3) k;

INSERT INTO alert (id, received_at, delivery_id, source, outcome, fingerprint, status, name, notice, incident_id)
SELECT pg_temp.id_at(at + k * interval '30 s', n * 16 + k), at + k * interval '30 s',
       pg_temp.id_at(at + k * interval '30 s', n * 16 + k), 'alertmanager',
       CASE k WHEN 0 THEN 'opened' WHEN 9 THEN 'cleared' ELSE 'joined' END, 'f' || n,
       CASE k WHEN 9 THEN 'resolved' ELSE 'firing' END, 'A' || n % 5,
       jsonb_build_object('title', 'It is so on host ' || n % 700, 'starts_at', at, 'links', '{}'::jsonb, 'annotations',
                          '{}'::jsonb, 'labels', jsonb_build_object('alertname', 'A' || n % 5, 'env', 'production')), id
FROM n, generate_series(0, current_setting('bench.alerts')::int - 1) k;

-- Deliveries go sooner.
INSERT INTO delivery (id, received_at, source, outcome, body, body_sha256, headers, notices, alert_count, triaged_at)
SELECT pg_temp.id_at(at + k * interval '30 s', n * 16 + k), at + k * interval '30 s', 'alertmanager',
       CASE WHEN n % 500 = 0 AND k = 0 THEN 'quarantined' ELSE 'accepted' END, repeat('x', 1500)::bytea,
       sha256(n::text::bytea), '{"content-type": "application/json"}', '[]', 1, at + k * interval '30 s' + interval '20 ms'
FROM n, generate_series(0, current_setting('bench.alerts')::int - 1) k WHERE at > now() - interval '28 days';

INSERT INTO audit_event (filed_at, id, at, actor_kind, actor, what, incident_id, subject, before, after, details,
                         code_version)
SELECT n.at, pg_temp.id_at(n.at + k * interval '10 s', n * 128 + k), n.at + k * interval '10 s',
       CASE WHEN k % 20 = 0 THEN 'person' ELSE 'responder' END,
       CASE WHEN k % 20 = 0 THEN 'person ' || n % 40 ELSE 'responder' END,
       (ARRAY['status', 'stage', 'answer', 'decision', 'fix', 'notification', 'note', 'severity'])[1 + k % 8], id,
       'incident ' || id, 'triage', 'diagnose', jsonb_build_object('attempt', k, 'reason', 'allowed'), '0.1.0'
FROM n, generate_series(1, current_setting('bench.events')::int) k;

RESET session_replication_role;
ANALYZE;
