-- What happens in the shop while the demo runs: its consumer, its customers, and the faults.

-- name: finish_items
-- The consumer has brought to Shopify what it took.
UPDATE shopify_sync_queue SET status = 'completed' WHERE status = 'processing';

-- name: take_items
-- The consumer takes the oldest items that wait.
UPDATE shopify_sync_queue SET status = 'processing'
WHERE id IN (
    SELECT id FROM shopify_sync_queue WHERE status = 'queued'
    ORDER BY created_at LIMIT 5 FOR UPDATE SKIP LOCKED);

-- name: new_items
-- Somebody changes cards in the shop, so Shopify must hear of them.
INSERT INTO shopify_sync_queue (inventory_item_id, action)
SELECT id, 'update' FROM intake_items ORDER BY random() LIMIT %(items)s;

-- name: fail_items
-- Shopify was away for a while: items were tried until no retry was left.
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, last_error, created_at)
SELECT id, 'update', 'failed', 3,
    (ARRAY[
        'HTTP 503 Service Unavailable',
        'no answer from Shopify within 10 s: timeout',
        'HTTP 502 Bad Gateway'])[1 + mod(place, 3)],
    now() - interval '25 minutes' - interval '20 seconds' * place
FROM (
    SELECT id, row_number() OVER () AS place
    FROM (SELECT id FROM intake_items ORDER BY random() LIMIT %(items)s) picked) numbered;

-- name: pass_time
-- Eleven minutes pass for what is in the queue.
UPDATE shopify_sync_queue SET created_at = created_at - interval '11 minutes'
WHERE created_at > now() - interval '1 hour';

-- name: retry_by_hand
-- A person does what the runbook offers.
UPDATE shopify_sync_queue SET status = 'queued', retry_count = 0, last_error = NULL
WHERE status = 'failed';

-- name: counts
-- How many items are in which status.
SELECT status, count(*) AS count FROM shopify_sync_queue GROUP BY status;
