-- A batch is named by its number or its id; what is no id is not compared with ids.

-- name: batches
-- The batch that the alert names, or the 20 active ones that were opened first.
SELECT id, lot_number, status, total_items, total_value, created_by, created_at, completed_at,
    extract(epoch FROM now() - created_at)::int AS idle_seconds
FROM (
    SELECT * FROM intake_lots
    WHERE %(lot)s::text <> '' AND (lot_number = %(lot)s OR id = CASE
        WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
    UNION ALL (
        SELECT * FROM intake_lots
        WHERE %(lot)s = '' AND status = 'active'
        ORDER BY created_at
        LIMIT 20
    )
) lots
ORDER BY created_at;

-- name: work
-- How many items has each of these batches, and how long ago did the last one come?
SELECT lots.id AS lot_id, items.entries, items.pieces, items.removed, items.last_at,
    extract(epoch FROM now() - items.last_at)::int AS idle_seconds
FROM (
    SELECT id FROM intake_lots
    WHERE %(lot)s::text <> '' AND (lot_number = %(lot)s OR id = CASE
        WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
    UNION ALL (
        SELECT id FROM intake_lots
        WHERE %(lot)s = '' AND status = 'active'
        ORDER BY created_at
        LIMIT 20
    )
) lots
CROSS JOIN LATERAL (
    SELECT count(*) AS entries, max(created_at) AS last_at,
        count(*) FILTER (WHERE removed_from_batch_at IS NOT NULL) AS removed,
        coalesce(sum(quantity) FILTER (WHERE removed_from_batch_at IS NULL), 0) AS pieces
    FROM (
        SELECT created_at, removed_from_batch_at, quantity
        FROM intake_items
        WHERE lot_id = lots.id AND deleted_at IS NULL
        LIMIT 20000
    ) its
) items
WHERE items.entries > 0;

-- name: items
-- Which items has the batch that the alert names? The 20 newest.
SELECT id, lot_id, quantity, brand_title, subject, price, created_at, removed_from_batch_at
FROM intake_items
WHERE deleted_at IS NULL AND lot_id = (
    SELECT id FROM intake_lots
    WHERE (lot_number = %(lot)s OR id = CASE
        WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
)
ORDER BY created_at DESC
LIMIT 20;

-- name: log
-- What does the log of the last day say of the batch that the alert names? The 20 newest lines.
SELECT level, message, created_at
FROM (
    SELECT level, left(message, 300) AS message, context ->> 'lot_id' AS lot_id, created_at
    FROM system_logs
    WHERE created_at > now() - interval '1 day'
    ORDER BY created_at DESC
    LIMIT 50000
) recent
WHERE lot_id = (
    SELECT id::text FROM intake_lots
    WHERE (lot_number = %(lot)s OR id = CASE
        WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
)
ORDER BY created_at DESC
LIMIT 20;

-- name: complete_batch
-- The batch is completed now; only an active one.
UPDATE intake_lots SET status = 'completed', completed_at = now()
WHERE status = 'active' AND (lot_number = %(lot)s OR id = CASE
    WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
RETURNING *;

-- name: complete_batch_before
-- The batch as it is.
SELECT * FROM intake_lots
WHERE status = 'active' AND (lot_number = %(lot)s OR id = CASE
    WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
FOR UPDATE;

-- name: complete_batch_verify
-- The batch is completed.
SELECT EXISTS (
    SELECT FROM intake_lots
    WHERE status = 'completed' AND (lot_number = %(lot)s OR id = CASE
        WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
) AS gone;

-- name: complete_batch_undo
-- The batch is as it was before, if nobody has touched it since.
UPDATE intake_lots lots
SET status = b.status, completed_at = b.completed_at
FROM jsonb_populate_recordset(NULL::intake_lots, %(before)s) b
WHERE lots.id = b.id
    AND to_jsonb(lots)::text IN (SELECT value::text FROM jsonb_array_elements(%(after)s))
RETURNING lots.*;

-- name: delete_batch
-- Mark the batch and its items as deleted, as the shop's own function does it for admins.
SELECT lots.id AS lot_id, admin_delete_batch(lots.id, %(why)s) AS deleted
FROM intake_lots lots
WHERE lots.status = 'active' AND (lots.lot_number = %(lot)s OR lots.id = CASE
    WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END);

-- name: delete_batch_before
-- The batch as it is, with the ids of the items that will be marked.
SELECT lots.*, (
        SELECT jsonb_agg(items.id) FROM intake_items items
        WHERE items.lot_id = lots.id AND items.deleted_at IS NULL
    ) AS items
FROM intake_lots lots
WHERE lots.status = 'active' AND (lots.lot_number = %(lot)s OR lots.id = CASE
    WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
FOR UPDATE OF lots;

-- name: delete_batch_verify
-- The batch is deleted.
SELECT EXISTS (
    SELECT FROM intake_lots
    WHERE status = 'deleted' AND (lot_number = %(lot)s OR id = CASE
        WHEN %(lot)s ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (%(lot)s)::uuid END)
) AS gone;
