-- An error is permanent as in shopify_queue_stuck (a test compares them). An entry is overtaken when
-- its action does not fit the item any more: a create or update of one that is gone or deleted, a
-- delete of one that is there.

-- name: failed
-- Which items have failed, of the 2,000 newest or of those the one that the alert names? The 20
-- newest of each kind, with how many there are of it; sku says nothing where the item is gone.
SELECT id, inventory_item_id, action, kind, retry_count, max_retries,
    left(last_error, 300) AS last_error, created_at, sku, brand_title, subject, in_all
FROM (
    SELECT *, count(*) OVER (PARTITION BY kind) AS in_all,
        row_number() OVER (PARTITION BY kind ORDER BY created_at DESC) AS place
    FROM (
        SELECT newest.*, i.sku, i.brand_title, i.subject,
            CASE
                WHEN coalesce(
                    substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
                    last_error, ''
                ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
                    THEN 'permanent'
                WHEN (action = 'delete') = (i.id IS NOT NULL AND i.deleted_at IS NULL)
                    THEN 'overtaken'
                WHEN retry_count >= max_retries THEN 'exhausted'
                ELSE 'retrying'
            END AS kind
        FROM (
            SELECT * FROM shopify_sync_queue
            WHERE status = 'failed'
            ORDER BY created_at DESC
            LIMIT 2000
        ) newest
        LEFT JOIN intake_items i ON i.id = newest.inventory_item_id
        WHERE %(item)s::text = '' OR i.sku = %(item)s
            OR lower(%(item)s) IN (newest.id::text, newest.inventory_item_id::text)
    ) told_apart
) counted
WHERE place <= 20
ORDER BY kind, created_at DESC;

-- name: progress
-- Does anything wait for more than ten minutes, and was anything taken up that came since?
SELECT EXISTS (
        SELECT FROM shopify_sync_queue
        WHERE status = 'queued' AND created_at < now() - interval '10 minutes'
    ) AS waiting,
    EXISTS (
        SELECT FROM shopify_sync_queue
        WHERE status NOT IN ('queued', 'failed') AND created_at >= now() - interval '10 minutes'
    ) AS taken_up;

-- name: requeue_item
-- Queue one failed item again, unless its error is permanent or the shop has overtaken it.
UPDATE shopify_sync_queue
SET status = 'queued', retry_count = 0, last_error = NULL
WHERE id = %(entry)s::uuid AND status = 'failed'
    AND NOT coalesce(
        substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
        last_error, ''
    ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
    AND (action = 'delete') <> EXISTS (
        SELECT FROM intake_items i WHERE i.id = inventory_item_id AND i.deleted_at IS NULL
    )
RETURNING *;

-- name: requeue_item_before
-- The item that will be queued again.
SELECT * FROM shopify_sync_queue
WHERE id = %(entry)s::uuid AND status = 'failed'
    AND NOT coalesce(
        substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
        last_error, ''
    ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
    AND (action = 'delete') <> EXISTS (
        SELECT FROM intake_items i WHERE i.id = inventory_item_id AND i.deleted_at IS NULL
    )
FOR UPDATE;

-- name: requeue_item_verify
-- The item does not stand as failed any more; it waits, or it is through.
SELECT NOT EXISTS (
    SELECT FROM shopify_sync_queue WHERE id = %(entry)s::uuid AND status = 'failed'
) AS gone;

-- name: requeue_item_undo
-- The item fails again that still waits as the retry left it; what was taken up since is let be.
UPDATE shopify_sync_queue q
SET status = b.status, retry_count = b.retry_count, last_error = b.last_error
FROM jsonb_populate_recordset(NULL::shopify_sync_queue, %(before)s) b
WHERE q.id = b.id
    AND to_jsonb(q)::text IN (SELECT value::text FROM jsonb_array_elements(%(after)s))
RETURNING q.*;

-- name: requeue_all
-- Queue again what failed until its retries were used up, but permanent errors and what is overtaken.
UPDATE shopify_sync_queue
SET status = 'queued', retry_count = 0, last_error = NULL
WHERE status = 'failed' AND retry_count >= max_retries
    AND NOT coalesce(
        substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
        last_error, ''
    ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
    AND (action = 'delete') <> EXISTS (
        SELECT FROM intake_items i WHERE i.id = inventory_item_id AND i.deleted_at IS NULL
    )
RETURNING *;

-- name: requeue_all_before
-- The items that will be queued again.
SELECT * FROM shopify_sync_queue
WHERE status = 'failed' AND retry_count >= max_retries
    AND NOT coalesce(
        substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
        last_error, ''
    ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
    AND (action = 'delete') <> EXISTS (
        SELECT FROM intake_items i WHERE i.id = inventory_item_id AND i.deleted_at IS NULL
    )
ORDER BY id
FOR UPDATE;

-- name: requeue_all_verify
-- No item is left whose retries are used up, whose error may pass and that fits the shop.
SELECT NOT EXISTS (
    SELECT FROM shopify_sync_queue
    WHERE status = 'failed' AND retry_count >= max_retries
        AND NOT coalesce(
            substring(last_error FROM '(?i)(?:http[/\d.]*|status|error|response)[ _]?(?:code)?\W*([45]\d\d)\M'),
            last_error, ''
        ) ~* '\m(40[0134]|410|422)\M(?! m?s\M)|not found|not exist|invalid|validation|unauthorized|forbidden'
        AND (action = 'delete') <> EXISTS (
            SELECT FROM intake_items i WHERE i.id = inventory_item_id AND i.deleted_at IS NULL
        )
) AS gone;

-- name: requeue_all_undo
-- The items fail again that still wait as the retry left them; what was taken up since is let be.
UPDATE shopify_sync_queue q
SET status = b.status, retry_count = b.retry_count, last_error = b.last_error
FROM jsonb_populate_recordset(NULL::shopify_sync_queue, %(before)s) b
WHERE q.id = b.id
    AND to_jsonb(q)::text IN (SELECT value::text FROM jsonb_array_elements(%(after)s))
RETURNING q.*;
