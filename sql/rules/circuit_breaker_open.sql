-- Every question takes the newest 50,000 lines of the last hour by system_logs_created_at, and
-- looks at their words only then: a log may be long, and a fault makes it grow.

-- name: breakers
-- What does each function's breaker say, is it open by its own words, and since when?
-- In "from OPEN to CLOSED" the second state counts, else the first after the word breaker, else
-- one before it ("opening the breaker"). A success of the same function says as much as closed.
WITH recent AS (
    SELECT left(context ->> 'function', 100) AS function, level, left(message, 300) AS message,
        created_at, message ILIKE '%%breaker%%' AS of_breaker
    FROM system_logs
    WHERE created_at > now() - interval '1 hour'
    ORDER BY created_at DESC
    LIMIT 50000
), spoken AS MATERIALIZED (
    SELECT function, message, created_at, of_breaker,
        regexp_replace(
            regexp_replace(lower(message), '\m(connection|socket|stream) (is |was )?\w+', ''),
            '\m(half[-_ ]?open|open|closed)\M\s*(->|=>|→|to\M)\s*(?=half|open|closed)', '', 'g'
        ) AS words
    FROM recent
    WHERE of_breaker OR function IS NOT NULL AND level = 'info'
        AND message ~* '\m(finished|succe|complete|refreshed)'
), said AS MATERIALIZED (
    SELECT function, message, created_at, of_breaker,
        CASE WHEN of_breaker THEN coalesce(
            substring(
                substring(words FROM 'breaker(.*)')
                FROM '(^open|\m(?:half[-_ ]?open(?:ed)?|(?:no longer |not |re-?)?open(?:ed|ing)?|'
                    'trip(?:ped|s)?|closed|closing|recovered|reset(?!.?timeout))\M)'),
            substring(words FROM '\m((?:re-?)?open(?:ed|ing)?|tripped|closed|closing|reset)\M'
                '.{1,20}breaker')) ELSE 'success' END AS word
    FROM spoken
), told AS (
    SELECT function, message, created_at, of_breaker, word,
        word ~ '^(half|open|re-?open|trip)' AS is_open,
        max(created_at) FILTER (WHERE word !~ '^(half|open|re-?open|trip)')
            OVER (PARTITION BY function) AS good_at
    FROM said
), breakers AS (
    SELECT function,
        count(*) FILTER (WHERE of_breaker) AS lines,
        count(*) FILTER (
            WHERE word ~ '^half' AND created_at > now() - interval '5 minutes') AS tries,
        min(created_at) FILTER (
            WHERE is_open AND created_at > coalesce(good_at, '-infinity')) AS open_since,
        max(created_at) FILTER (WHERE is_open) AS open_at,
        max(good_at) AS good_at,
        (array_agg(message ORDER BY created_at DESC) FILTER (WHERE of_breaker))[1] AS last_message
    FROM told
    GROUP BY function
    HAVING bool_or(of_breaker)
)
SELECT function,
    CASE
        WHEN open_since IS NOT NULL THEN 'open'
        WHEN good_at IS NOT NULL THEN 'closed'
        ELSE 'unknown'
    END AS state,
    lines, tries,
    extract(epoch FROM now() - open_since)::int AS open_seconds,
    extract(epoch FROM now() - open_at)::int AS quiet_seconds,
    extract(epoch FROM now() - good_at)::int AS good_seconds,
    last_message
FROM breakers
ORDER BY open_since, function
LIMIT 20;

-- name: lines
-- Which lines did breakers write last? The newest 20.
SELECT created_at, level, function, message
FROM (
    SELECT created_at, level, left(context ->> 'function', 100) AS function,
        left(message, 300) AS message
    FROM system_logs
    WHERE created_at > now() - interval '1 hour'
    ORDER BY created_at DESC
    LIMIT 50000
) recent
WHERE message ILIKE '%%breaker%%'
ORDER BY created_at DESC
LIMIT 20;

-- name: errors
-- Which errors and warnings came in the last hour? Alike but for their numbers is one row; outside
-- tells those in which somebody else's API failed.
SELECT function, level, message, outside, count(*) AS count,
    min(created_at) AS first_at, max(created_at) AS last_at,
    extract(epoch FROM now() - max(created_at))::int AS seconds_ago
FROM (
    SELECT function, level, created_at,
        regexp_replace(message, '[0-9a-f]{8}-[0-9a-f-]{27}|\d+', '#', 'gi') AS message,
        message NOT ILIKE '%%breaker%%' AND message ~* 'timed?[- ]?out|did not answer|unavailable|'
            'econn|refused|unreachable|rate limit|fetch failed|\m(429|50[0234])\M' AS outside
    FROM (
        SELECT left(context ->> 'function', 100) AS function, level, created_at,
            left(message, 300) AS message
        FROM system_logs
        WHERE created_at > now() - interval '1 hour'
        ORDER BY created_at DESC
        LIMIT 50000
    ) recent
    WHERE level IN ('error', 'warn')
) alike
GROUP BY function, level, message, outside
ORDER BY outside DESC, count DESC
LIMIT 20;
