-- name: next_day
-- The day whose counting is due: one that nobody has counted, or one that can still change.
SELECT d AS since, least(d + interval '1 day', %(now)s) AS until
FROM generate_series(date_trunc('day', %(now)s::timestamptz) - %(kept)s::interval, %(now)s::timestamptz, '1 day') d
LEFT JOIN day_count c ON c.day = d::date
WHERE c.day IS NULL
   OR (c.counted_at < %(now)s - interval '1 minute' AND c.counted_at < d + interval '1 day')
   OR (c.counted_at < %(now)s - interval '1 hour' AND c.counted_at < d + interval '1 day' + %(settles)s::interval)
ORDER BY c.counted_at NULLS FIRST, d DESC
LIMIT 1;

-- name: count_day
-- All that the page of numbers shows of a day. An alert's severity is its incident's, else the one that it
-- declared. A page is enriched when it leaves after the first decision; what flaps has cleared more than once.
WITH told AS (
    SELECT incident_id, fingerprint, notice ->> 'severity' AS declared, count(*) AS alerts,
           greatest(count(*) FILTER (WHERE outcome = 'cleared') - 1, 0) AS flaps
    FROM alert WHERE received_at >= %(since)s AND received_at < %(until)s
    GROUP BY 1, 2, 3
), alerts AS (
    SELECT t.alerts, t.flaps, i.id, i.key, i.title, i.rule, coalesce(i.severity, t.declared, 'none') AS severity
    FROM told t LEFT JOIN incident i ON i.id = t.incident_id
), opened AS (
    SELECT i.*, EXISTS (SELECT FROM fix f WHERE f.incident_id = i.id AND f.status = 'committed'
                        AND NOT f.dry_run AND f.undoes IS NULL) AS fixed
    FROM incident i WHERE i.opened_at >= %(since)s AND i.opened_at < %(until)s
), enriched AS (
    SELECT extract(epoch FROM min(n.sent_at) - o.opened_at)::float8 AS seconds
    FROM opened o
    JOIN notification n ON n.incident_id = o.id AND n.status = 'sent'
     AND n.sent_at >= (SELECT min(d.at) FROM decision d WHERE d.incident_id = o.id)
    WHERE o.severity IN ('P0', 'P1') AND o.paged_at IS NOT NULL
    GROUP BY o.id, o.opened_at
), fixes AS (
    SELECT CASE WHEN status = 'committed' THEN coalesce(verification, 'not_asked') ELSE status END AS outcome,
           count(*) AS n
    FROM fix
    WHERE started_at >= %(since)s AND started_at < %(until)s AND NOT dry_run AND undoes IS NULL
    GROUP BY 1
), rules AS (
    SELECT rule, sum(incidents) AS incidents, sum(by_itself) AS by_itself, sum(flaps) AS flaps, sum(alerts) AS alerts
    FROM (SELECT rule, 1 AS incidents, 0 AS flaps, 0 AS alerts,
                 (resolved_by IN ('sender', 'quiet') AND NOT fixed)::int AS by_itself FROM opened
          UNION ALL
          SELECT rule, 0, flaps, alerts, 0 FROM alerts WHERE id IS NOT NULL) parts
    GROUP BY rule
), keys AS (
    SELECT key, sum(alerts) AS alerts, (array_agg(id ORDER BY id DESC))[1] AS incident,
           (array_agg(title ORDER BY id DESC))[1] AS title
    FROM alerts WHERE id IS NOT NULL GROUP BY key ORDER BY 2 DESC, 1 LIMIT %(most)s
)
INSERT INTO day_count (day, counted_at, numbers)
SELECT %(since)s::timestamptz::date, %(now)s, jsonb_build_object(
    'alerts', (SELECT coalesce(jsonb_object_agg(severity, n), '{}')
               FROM (SELECT severity, sum(alerts) AS n FROM alerts GROUP BY 1) s),
    'enriched', (SELECT jsonb_build_object('n', count(*),
                     'p50', percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds),
                     'p95', percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds)) FROM enriched),
    'acknowledged', (SELECT jsonb_build_object('n', count(*),
                         'p50', percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds),
                         'p95', percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds))
                     FROM (SELECT extract(epoch FROM acknowledged_at - opened_at)::float8 AS seconds
                           FROM opened WHERE acknowledged_at IS NOT NULL) a),
    'fixes', (SELECT coalesce(jsonb_object_agg(outcome, n), '{}') FROM fixes),
    'rules', (SELECT coalesce(jsonb_object_agg(coalesce(rule, ''), to_jsonb(r) - 'rule'), '{}') FROM rules r),
    'keys', (SELECT coalesce(jsonb_agg(to_jsonb(k) ORDER BY alerts DESC, key), '[]') FROM keys k))
ON CONFLICT (day) DO UPDATE SET counted_at = EXCLUDED.counted_at, numbers = EXCLUDED.numbers;

-- name: verdicts_by_rule
-- What engineers said since then, by rule.
SELECT coalesce(rule, '') AS rule, verdict, count(*) AS reviews FROM review
WHERE verdict IS NOT NULL AND at >= %(since)s GROUP BY 1, 2;

-- name: day_counts
-- The numbers of each day since then, in order.
SELECT day, counted_at, numbers FROM day_count WHERE day >= %(since)s ORDER BY day;
