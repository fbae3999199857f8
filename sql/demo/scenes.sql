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
    FROM (
        SELECT id FROM intake_items WHERE deleted_at IS NULL ORDER BY random() LIMIT %(items)s
    ) picked
) numbered;

-- name: pass_time
-- Eleven minutes pass for what is in the queue.
UPDATE shopify_sync_queue SET created_at = created_at - interval '11 minutes'
WHERE created_at > now() - interval '1 hour';

-- name: counts
-- How many items are in which status.
SELECT status, count(*) AS count FROM shopify_sync_queue GROUP BY status;

-- name: open_breaker
-- JustTCG does not answer, so the function that syncs its catalogue opens its breaker and refuses.
INSERT INTO system_logs (level, message, context, created_at)
SELECT level, message,
    jsonb_build_object('function', 'catalog-sync-justtcg', 'game', 'pokemon', 'api', 'justtcg'),
    now() - ago
FROM (
    SELECT 'error', 'justtcg did not answer within 10 s: timeout', interval '10 seconds' * n
    FROM generate_series(2, 6) n
    UNION ALL VALUES
        ('warn', 'Circuit breaker opened after 5 failures in a row: justtcg', interval '15 seconds'),
        ('error', 'Circuit breaker is open: justtcg did not answer within 10 s', interval '4 seconds')
) lines (level, message, ago);

-- name: refuse_call
-- Another call meets the open breaker.
INSERT INTO system_logs (level, message, context) VALUES (
    'error', 'Circuit breaker is open: justtcg did not answer within 10 s',
    '{"function": "catalog-sync-justtcg", "game": "pokemon", "api": "justtcg"}');

-- name: close_breaker
-- JustTCG answers again: the breaker closed by itself, and the sync went through.
INSERT INTO system_logs (level, message, context)
SELECT 'info', message, '{"function": "catalog-sync-justtcg", "game": "pokemon", "api": "justtcg"}'
FROM unnest(ARRAY[
    'Circuit breaker changed from HALF_OPEN to CLOSED: justtcg', 'catalog sync finished']) message;

-- name: slow_statements
-- A page of 25 cards looks each one up by its SKU and counts its lot, without an index, from a disk
-- that takes its time: a second and more, in all.
SELECT sku, (
        SELECT (SELECT count(*) FROM intake_items others WHERE others.lot_id = i.lot_id)
        FROM intake_items i WHERE i.sku = page.sku AND i.deleted_at IS NULL
    ) AS cards_of_lot, pg_sleep(0.05)::text AS waited
FROM (SELECT 'PKM-' || 100000 + 5 * n AS sku FROM generate_series(1, 25) n) page;

-- name: tell_statistics
-- What this session did is counted now, not a second after it.
SELECT pg_stat_force_next_flush()::text;

-- name: fail_item
-- Shopify answers this to the newest change of one card, as often as it was tried.
WITH failed AS (
    INSERT INTO shopify_sync_queue (inventory_item_id, action, status, retry_count, last_error)
    SELECT id, 'update', 'failed', 3, %(error)s FROM intake_items
    WHERE deleted_at IS NULL ORDER BY random() LIMIT 1
    RETURNING id, inventory_item_id
)
SELECT f.id::text AS entry, i.sku FROM failed f JOIN intake_items i ON i.id = f.inventory_item_id;

-- name: entry
-- Where one item of the queue is now.
SELECT status, last_error FROM shopify_sync_queue WHERE id = %(entry)s;

-- name: forget_lot
-- Whoever took this lot in went home yesterday; the page that ends it had failed.
WITH touched AS (
    UPDATE intake_items SET created_at = now() - interval '20 hours'
    WHERE lot_id = (SELECT id FROM intake_lots WHERE lot_number = %(lot)s)
)
INSERT INTO system_logs (level, message, context, created_at)
SELECT 'error', 'lot could not be completed: the page timed out',
    jsonb_build_object('lot_id', id), now() - interval '20 hours'
FROM intake_lots WHERE lot_number = %(lot)s;

-- name: lot
-- How a lot stands, and how many of its items are deleted.
SELECT status, (
        SELECT count(*) FROM intake_items i WHERE i.lot_id = l.id AND i.deleted_at IS NOT NULL
    ) AS deleted
FROM intake_lots l WHERE lot_number = %(lot)s;

-- name: admin
-- The account that the responder acts as, where the shop's own functions ask for an admin.
SELECT id::text FROM auth.users WHERE email = 'admin-01@example.com';

-- name: hire
-- Somebody begins tomorrow; the account was made and confirmed, and nobody gave it any right.
INSERT INTO auth.users (email, confirmed_at) VALUES (%(email)s, now());

-- name: rights
-- The roles and stores of an account.
SELECT coalesce(string_agg(DISTINCT r.role::text, ', '), 'no role') AS roles,
    coalesce(string_agg(DISTINCT a.store_key, ', '), 'no store') AS stores
FROM auth.users u LEFT JOIN user_roles r ON r.user_id = u.id
    LEFT JOIN user_shopify_assignments a ON a.user_id = u.id
WHERE u.email = %(email)s;

-- name: age_credential
-- Three months pass for one credential.
UPDATE system_settings SET updated_at = now() - interval '91 days' WHERE key = %(name)s;

-- name: write_down_rotation
-- Somebody has rotated a credential, and writes that down.
UPDATE system_settings SET updated_at = now() WHERE key = %(name)s;

-- name: hasten_checks
-- In the responder's own database: an hour passes, so the next time of its scheduled checks has
-- come, and what it asked before is not fresh any more.
WITH older AS (UPDATE responder.question SET asked_at = asked_at - interval '1 hour')
UPDATE responder.schedule SET due_at = now() RETURNING rule;

-- name: index_sku
-- Whether the index for searches by SKU is there and valid.
SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = 'idx_intake_items_sku'::regclass;
