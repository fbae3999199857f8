-- A hundred thousand of each, spread evenly over sixty days: an hour has 70, a day 1,700.
SET search_path = responder, responder_jobs;
SET session_replication_role = replica;
CREATE TEMP TABLE n AS SELECT n, now() - n * interval '60 days' / 100000 AS at,
    ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id FROM generate_series(1, 100000) n;
INSERT INTO delivery (id, received_at, source, outcome, body, body_sha256, headers, notices, alert_count, triaged_at)
SELECT id, at, 's' || n % 3, CASE n % 1000 WHEN 0 THEN 'quarantined' ELSE 'accepted' END, repeat('x', 1500)::bytea, '',
       '{}', '[]', 1,
       at + interval '20 ms' FROM n;
INSERT INTO alert (id, received_at, delivery_id, source, outcome, notice)
SELECT id, at, id, 's' || n % 3, 'joined', '{}' FROM n;
INSERT INTO incident (id, key, title, source, rule, parameters, labels, status, stage, severity,
                      severity_unreadable, opened_at, seen_at, resolved_at)
SELECT id, n::text, '', 's1', 'r' || n % 5, '{}', '{}', 'resolved', 'done', 'P2', false, at, at, at
FROM n WHERE n % 4 = 0;
INSERT INTO decision (id, incident_id, at, attempt, action, reason, sentence, parameters, findings, facts)
SELECT id, id, at + interval '1 s', 1, 'fix', 'allowed', '', '{}', '[]', '{}' FROM n WHERE n % 4 = 0;
INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters, actor_kind,
                 actor, severity, status, attempt, verification, verified_at, started_at, ended_at)
SELECT id, id, n::text, 'r' || n % 500, '', 'o', 't', '{}', 'responder', '', 'P2', 'committed', 1, 'held', at, at, at
FROM n WHERE n % 4 = 0;
INSERT INTO review (incident_id, picked, waiting, due_at, verdict, actor, at, rule, rule_checksum)
SELECT id, 'fixed', n <= 1600, at, CASE WHEN n % 100 = 0 THEN 'useful' END, 'ann', at, 'r' || n % 5, ''
FROM n WHERE n % 4 = 0 AND (n <= 1600 OR n % 100 = 0);
INSERT INTO notification (id, incident_id, key, receiver, happening, page, status, document,
                          created_at, due_at, attempts, sent_at)
SELECT id, id, n::text, 'r' || n % 2, 'opened', n % 2 = 0, CASE n % 1000 WHEN 0 THEN 'dead' ELSE 'sent' END, '{}',
       at, at, 1, at + interval '1 s' FROM n WHERE n % 2 = 0;
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status)
SELECT 'normal', 'triage', '{}', CASE WHEN n % 2 = 0 THEN 'todo' ELSE 'failed' END::procrastinate_job_status
FROM n WHERE n % 10 = 0;
INSERT INTO procrastinate_events (job_id, type, at) SELECT id, 'deferred', now() FROM procrastinate_jobs;
ANALYZE;
