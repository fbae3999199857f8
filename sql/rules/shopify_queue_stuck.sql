-- An error is permanent when the first status that its text calls one says so ("HTTP 404", "status code:
-- 422"); without such a status its words, or a bare number that is one of theirs and no milliseconds.
-- The same lines stand in every statement that tells failed items apart (a test compares them).
-- An entry is overtaken when its item says the contrary: a create or update of a deleted one, a
-- delete of one that is for sale. Of an item that nobody knows it only fails again.

-- name: statuses
-- How many items are in which status, and since when? Nobody counts beyond 10,000. Each status is
-- looked up behind the one before: counting what was completed would read the whole table.
WITH RECURSIVE known AS (
    (SELECT status FROM shopify_sync_queue ORDER BY status LIMIT 1)
    UNION ALL
    SELECT (
        SELECT status FROM shopify_sync_queue q
        WHERE q.status > known.status ORDER BY status LIMIT 1
    )
    FROM known WHERE known.status IS NOT NULL
)
SELECT known.status, counted.count, counted.oldest
FROM known CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(created_at) AS oldest
    FROM (
        SELECT created_at FROM shopify_sync_queue q
        WHERE q.status = known.status ORDER BY created_at LIMIT 10000
    ) oldest_ones
) counted
WHERE known.status IS NOT NULL
ORDER BY known.status;

-- name: stuck
-- Which items have waited for more than ten minutes? The 20 oldest, and how many there are; nobody
-- counts beyond 10,000.
SELECT id, inventory_item_id, action, status, retry_count, created_at,
    left(last_error, 300) AS last_error, count(*) OVER () AS in_all
FROM (
    SELECT * FROM shopify_sync_queue
    WHERE status = 'queued' AND created_at < now() - interval '10 minutes'
    ORDER BY created_at
    LIMIT 10000
) waiting
ORDER BY created_at
LIMIT 20;

-- name: failed
-- Which items have failed, of the 2,000 newest? The 20 newest of each kind, and how many there are.
SELECT id, inventory_item_id, action, retry_count, max_retries, left(last_error, 300) AS last_error,
    created_at, kind, in_all
FROM (
    SELECT *,
        count(*) OVER (PARTITION BY kind) AS in_all,
        row_number() OVER (PARTITION BY kind ORDER BY created_at DESC) AS place
    FROM (
        SELECT newest.*,
            CASE
                WHEN coalesce(
                    substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
                    last_error, ''
                ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
                    THEN 'permanent'
                WHEN i.id IS NOT NULL AND (action = 'delete') = (i.deleted_at IS NULL)
                    THEN 'overtaken'
                WHEN retry_count >= max_retries THEN 'exhausted'
                ELSE 'retrying'
            END AS kind
        FROM (
            SELECT * FROM shopify_sync_queue
            WHERE status = 'failed' ORDER BY created_at DESC LIMIT 2000
        ) newest
        LEFT JOIN intake_items i ON i.id = newest.inventory_item_id
    ) told_apart
) counted
WHERE place <= 20
ORDER BY kind, created_at DESC;

-- name: progress
-- How many items that were created in the last ten minutes were already taken up?
SELECT count(*) AS created, count(*) FILTER (WHERE status NOT IN ('queued', 'failed')) AS taken_up
FROM shopify_sync_queue
WHERE created_at >= now() - interval '10 minutes';

-- name: retry_failed
-- Queue again what failed until its retries were used up, but permanent errors and what is overtaken.
UPDATE shopify_sync_queue
SET status = 'queued', retry_count = 0, last_error = NULL
WHERE status = 'failed' AND retry_count >= max_retries
    AND NOT coalesce(
        substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
        last_error, ''
    ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
    AND NOT EXISTS (
        SELECT FROM intake_items i
        WHERE i.id = inventory_item_id AND (action = 'delete') = (i.deleted_at IS NULL)
    )
RETURNING *;

-- name: retry_failed_before
-- The items that will be queued again.
SELECT * FROM shopify_sync_queue
WHERE status = 'failed' AND retry_count >= max_retries
    AND NOT coalesce(
        substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
        last_error, ''
    ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
    AND NOT EXISTS (
        SELECT FROM intake_items i
        WHERE i.id = inventory_item_id AND (action = 'delete') = (i.deleted_at IS NULL)
    )
ORDER BY id
FOR UPDATE;

-- name: retry_failed_verify
-- No item is left whose retries are used up, whose error may pass and that is not overtaken.
SELECT NOT EXISTS (
    SELECT FROM shopify_sync_queue
    WHERE status = 'failed' AND retry_count >= max_retries
        AND NOT coalesce(
            substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
            last_error, ''
        ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
        AND NOT EXISTS (
            SELECT FROM intake_items i
            WHERE i.id = inventory_item_id AND (action = 'delete') = (i.deleted_at IS NULL)
        )
) AS gone;

-- name: retry_failed_undo
-- The items fail again that still wait as the retry left them; what was taken up since is let be.
UPDATE shopify_sync_queue q
SET status = b.status, retry_count = b.retry_count, last_error = b.last_error
FROM jsonb_populate_recordset(NULL::shopify_sync_queue, %(before)s) b
WHERE q.id = b.id
    AND to_jsonb(q)::text IN (SELECT value::text FROM jsonb_array_elements(%(after)s))
RETURNING q.*;

-- name: clear_failed
-- Delete every failed item from the queue, as the shop's own function does it.
SELECT admin_clear_shopify_sync_queue('failed') AS cleared;

-- name: clear_failed_before
-- The failed items, which will be deleted.
SELECT * FROM shopify_sync_queue WHERE status = 'failed' ORDER BY id FOR UPDATE;

-- name: clear_failed_verify
-- No failed item is left.
SELECT NOT EXISTS (SELECT FROM shopify_sync_queue WHERE status = 'failed') AS gone;

-- name: clear_queued
-- Delete every queued item from the queue, as the shop's own function does it.
SELECT admin_clear_shopify_sync_queue('queued') AS cleared;

-- name: clear_queued_before
-- The queued items, which will be deleted.
SELECT * FROM shopify_sync_queue WHERE status = 'queued' ORDER BY id FOR UPDATE;

-- name: clear_queued_verify
-- No item has waited for more than ten minutes; new ones may have come meanwhile.
SELECT NOT EXISTS (
    SELECT FROM shopify_sync_queue
    WHERE status = 'queued' AND created_at < now() - interval '10 minutes'
) AS gone;
