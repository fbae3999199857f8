-- A trading-card shop on an ordinary day: nothing is wrong, the queue is done, no error in the
-- last hour. The same rows every time (md5 and modulo instead of chance), their times relative to now.

INSERT INTO auth.users (id, email, created_at, confirmed_at)
SELECT md5('user' || n)::uuid,
    CASE WHEN n <= 3 THEN 'admin' ELSE (ARRAY['counter', 'intake', 'grading'])[1 + n % 3] END
        || '-' || to_char(n, 'FM00') || '@example.com',
    now() - interval '9 days' * (41 - n),
    CASE WHEN n <= 38 THEN now() - interval '9 days' * (41 - n) + interval '4 minutes' END
FROM generate_series(1, 40) n;

INSERT INTO user_roles (id, user_id, role)
SELECT md5('role' || n)::uuid, md5('user' || n)::uuid,
    (CASE WHEN n <= 3 THEN 'admin' ELSE 'staff' END)::app_role
FROM generate_series(1, 36) n;

INSERT INTO user_shopify_assignments (id, user_id, store_key, shopify_location_gid, region_id)
SELECT md5('assignment' || n)::uuid, md5('user' || n)::uuid,
    (ARRAY['harbour', 'old-town', 'online'])[1 + n % 3],
    'gid://shopify/Location/' || 80140000 + n % 3,
    (ARRAY['north', 'north', 'everywhere'])[1 + n % 3]
FROM generate_series(4, 35) n;

-- 60 lots over ten months; the last three are still being taken in.
INSERT INTO intake_lots (id, lot_number, status, created_by, created_at, completed_at)
SELECT md5('lot' || n)::uuid, 'LOT-' || to_char(n, 'FM000000'),
    CASE WHEN n > 57 THEN 'active' WHEN n <= 6 THEN 'archived' ELSE 'completed' END,
    md5('user' || 4 + n % 30)::uuid,
    now() - interval '5 days' * (60 - n) - interval '3 hours',
    CASE WHEN n <= 57 THEN now() - interval '5 days' * (60 - n) + interval '2 hours' END
FROM generate_series(1, 60) n;

-- 25 items a lot: three of five are Pokémon cards, the others sports cards.
INSERT INTO intake_items
    (id, lot_id, sku, quantity, brand_title, subject, price, created_at, removed_from_batch_at)
SELECT md5('item' || n)::uuid, l.id,
    (CASE WHEN n % 5 < 3 THEN 'PKM-' ELSE 'SPT-' END) || to_char(100000 + n, 'FM000000'),
    1 + (n % 11 = 0)::int * 3,
    CASE WHEN n % 5 < 3
        THEN (ARRAY['Pokémon Base Set', 'Pokémon Jungle', 'Pokémon Evolving Skies',
            'Pokémon Scarlet & Violet 151', 'Pokémon Crown Zenith', 'Pokémon Lost Origin'])[1 + n % 6]
        ELSE (ARRAY['1989 Upper Deck Baseball', '1996 Topps Chrome Basketball',
            '2018 Panini Prizm Basketball', '2020 Panini Mosaic Football'])[1 + n % 4] END,
    CASE WHEN n % 5 < 3
        THEN (ARRAY['Charizard', 'Pikachu', 'Umbreon VMAX', 'Blastoise', 'Mewtwo', 'Gengar',
            'Rayquaza VMAX', 'Snorlax', 'Eevee', 'Lugia V', 'Dragonite'])[1 + n % 11]
            || ' ' || 1 + n * 7 % 165 || '/165'
        ELSE (ARRAY['Rookie Card', 'Base Card', 'Refractor', 'Silver Parallel', 'Insert'])[1 + n % 5]
            || ' #' || 1 + n * 13 % 400 END
        || (ARRAY['', ' PSA 10', ' PSA 9', '', ' BGS 9.5'])[1 + n * 3 % 5],
    round((0.5 + n * 37 % 190 + CASE WHEN n % 97 = 0 THEN 1250 ELSE 0 END)::numeric, 2) + 0.49,
    l.created_at + interval '1 minute' * (n % 25),
    CASE WHEN n % 61 = 0 THEN l.created_at + interval '1 hour' END
FROM generate_series(1, 1500) n
JOIN intake_lots l ON l.id = md5('lot' || 1 + (n - 1) / 25)::uuid;

-- Into the three batches that are active somebody still takes cards in.
UPDATE intake_items SET created_at = now() - interval '3 hours'
WHERE lot_id IN (SELECT id FROM intake_lots WHERE status = 'active');

UPDATE intake_lots l SET total_items = i.items, total_value = i.value
FROM (
    SELECT lot_id, sum(quantity) AS items, sum(quantity * price) AS value
    FROM intake_items WHERE removed_from_batch_at IS NULL GROUP BY lot_id
) i
WHERE i.lot_id = l.id;

-- 800 synchronisations: the last twenty within ten minutes, the others over two weeks.
INSERT INTO shopify_sync_queue
    (id, inventory_item_id, action, status, retry_count, last_error, created_at)
SELECT md5('sync' || n)::uuid, md5('item' || 1 + n * 17 % 1500)::uuid,
    (ARRAY['update', 'update', 'create', 'update', 'delete'])[1 + n % 5], 'completed',
    (n % 23 = 0)::int, NULL,
    now() - CASE WHEN n <= 20 THEN interval '28 seconds' * n
        ELSE interval '10 minutes' + interval '25 minutes' * (n - 20) END
FROM generate_series(1, 800) n;

-- A log line each four hours over a hundred days, some of them warnings that went away by themselves.
INSERT INTO system_logs (id, level, message, context, created_at)
SELECT md5('log' || n)::uuid,
    CASE WHEN n % 19 = 0 THEN 'error' WHEN n % 7 = 0 THEN 'warn' ELSE 'info' END,
    CASE
        WHEN n % 19 = 0 THEN 'Circuit breaker is open: justtcg did not answer within 10 s'
        WHEN n % 7 = 0 THEN 'Shopify asked us to slow down, next try in 2 s'
        ELSE (ARRAY['catalog sync finished', 'lot completed', 'prices refreshed'])[1 + n % 3] END,
    CASE
        WHEN n % 19 = 0 THEN jsonb_build_object('function', 'catalog-sync-justtcg', 'game', 'pokemon')
        WHEN n % 7 = 0 THEN jsonb_build_object('status', 429, 'store_key', 'harbour')
        ELSE jsonb_build_object('lot_id', md5('lot' || 1 + n % 60)::uuid) END,
    now() - interval '4 hours' * n
FROM generate_series(1, 600) n;

-- Where a credential is kept and when it was changed, never the credential.
INSERT INTO system_settings (key, value, updated_at) VALUES
    ('SHOPIFY_STORE_KEY', '"harbour"', now() - interval '61 days'),
    ('SHOPIFY_ACCESS_TOKEN', '{"kept_in": "project secrets"}', now() - interval '61 days'),
    ('SHOPIFY_SHARED_SECRET', '{"kept_in": "project secrets"}', now() - interval '61 days'),
    ('JUSTTCG_API_KEY', '{"kept_in": "function secrets"}', now() - interval '34 days'),
    ('PSA_PUBLIC_API_TOKEN', '{"kept_in": "function secrets"}', now() - interval '34 days'),
    ('DATABASE_PASSWORD', '{"kept_in": "project settings"}', now() - interval '20 days'),
    ('sync.batch_size', '50', now() - interval '200 days'),
    ('sync.enabled', 'true', now() - interval '12 days');

ANALYZE;
