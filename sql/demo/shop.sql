-- The shop of the runbook: a PostgreSQL as Supabase sets it up, with the tables, functions and
-- columns that production-operations-runbook.md names. Run once, as the superuser, in an empty
-- database. No index stands on intake_items (sku, lot_id): the runbook's slow queries need them.

-- Roles belong to the whole server, so a second shop database finds them there.
DO $$ BEGIN
    CREATE ROLE authenticated NOLOGIN;
    -- For what no transaction can hold, over a direct connection: an index, a vacuum.
    CREATE ROLE responder_direct LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
        CONNECTION LIMIT 4;
    -- Passwords: whoever runs this sets them with ALTER ROLE ... PASSWORD; over a private socket
    -- there are none.
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

CREATE SCHEMA auth;
CREATE SCHEMA extensions;
CREATE TYPE app_role AS ENUM ('admin', 'staff');

CREATE TABLE auth.users (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email         text NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    confirmed_at  timestamptz
);
CREATE INDEX users_email_lower ON auth.users (lower(email));

CREATE TABLE user_roles (
    id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id  uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    role     app_role NOT NULL,
    UNIQUE (user_id, role)
);

CREATE TABLE user_shopify_assignments (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id               uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    store_key             text NOT NULL,
    shopify_location_gid  text,
    region_id             text
);
CREATE INDEX user_shopify_assignments_user ON user_shopify_assignments (user_id);

CREATE TABLE intake_lots (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lot_number    text NOT NULL UNIQUE,
    status        text NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'completed', 'archived', 'deleted')),
    total_items   int NOT NULL DEFAULT 0,
    total_value   numeric(12, 2) NOT NULL DEFAULT 0,
    created_by    uuid REFERENCES auth.users,
    created_at    timestamptz NOT NULL DEFAULT now(),
    completed_at  timestamptz
);
CREATE INDEX intake_lots_status ON intake_lots (status, created_at);

CREATE TABLE intake_items (
    id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lot_id                 uuid NOT NULL REFERENCES intake_lots,
    sku                    text NOT NULL,
    quantity               int NOT NULL DEFAULT 1,
    brand_title            text NOT NULL,
    subject                text NOT NULL,
    price                  numeric(10, 2) NOT NULL,
    created_at             timestamptz NOT NULL DEFAULT now(),
    removed_from_batch_at  timestamptz,
    deleted_at             timestamptz
);

-- No foreign key: a `delete` must still reach Shopify when its item is gone.
CREATE TABLE shopify_sync_queue (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    inventory_item_id  uuid NOT NULL,
    action             text NOT NULL DEFAULT 'update'
        CHECK (action IN ('create', 'update', 'delete')),
    status             text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'processing', 'completed', 'failed')),
    retry_count        int NOT NULL DEFAULT 0,
    max_retries        int NOT NULL DEFAULT 3,
    last_error         text,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX shopify_sync_queue_status ON shopify_sync_queue (status, created_at);
CREATE INDEX shopify_sync_queue_created_at ON shopify_sync_queue (created_at);

CREATE TABLE system_logs (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    level       text NOT NULL CHECK (level IN ('debug', 'info', 'warn', 'error')),
    message     text NOT NULL,
    context     jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX system_logs_created_at ON system_logs (created_at);

CREATE TABLE system_settings (
    key         text PRIMARY KEY,
    value       jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Whose request this is, as Supabase's gateway says it.
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

CREATE FUNCTION has_role(who uuid, wanted app_role) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM user_roles r WHERE r.user_id = who AND r.role = wanted)
$$;

CREATE FUNCTION admin_clear_shopify_sync_queue(wanted_status text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    cleared integer;
BEGIN
    IF NOT has_role(auth.uid(), 'admin') THEN
        RAISE EXCEPTION 'admin role required' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM shopify_sync_queue WHERE status = wanted_status;
    GET DIAGNOSTICS cleared = ROW_COUNT;
    RETURN cleared;
END $$;

CREATE FUNCTION admin_delete_batch(lot uuid, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT has_role(auth.uid(), 'admin') THEN
        RAISE EXCEPTION 'admin role required' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE intake_lots SET status = 'deleted' WHERE id = lot;
    UPDATE intake_items SET deleted_at = now() WHERE lot_id = lot AND deleted_at IS NULL;
    INSERT INTO system_logs (level, message, context)
    VALUES ('info', 'batch deleted', jsonb_build_object('lot_id', lot, 'reason', reason));
END $$;

-- Row level security: what the shop's own users may see through the API.
DO $$ DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['user_roles', 'user_shopify_assignments', 'intake_lots',
            'intake_items', 'shopify_sync_queue', 'system_logs', 'system_settings'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY admins ON %I TO authenticated '
            'USING (has_role(auth.uid(), ''admin''))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['intake_lots', 'intake_items', 'shopify_sync_queue'] LOOP
        EXECUTE format('CREATE POLICY staff ON %I TO authenticated '
            'USING (has_role(auth.uid(), ''staff''))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['user_roles', 'user_shopify_assignments'] LOOP
        EXECUTE format('CREATE POLICY own ON %I FOR SELECT TO authenticated '
            'USING (user_id = auth.uid())', name);
    END LOOP;
END $$;
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;

-- Grants to the shop's own users, and tables whose owner builds their indexes and vacuums them. The
-- responder's two other roles are made by what `responder roles` prints.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements') THEN
        CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA extensions;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO authenticated, responder_direct',
        current_database());
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO responder_direct;
ALTER TABLE intake_items OWNER TO responder_direct;
ALTER TABLE shopify_sync_queue OWNER TO responder_direct;
ALTER TABLE system_logs OWNER TO responder_direct;
REVOKE EXECUTE ON FUNCTION admin_clear_shopify_sync_queue, admin_delete_batch FROM PUBLIC;

GRANT USAGE ON SCHEMA auth TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO authenticated;
GRANT EXECUTE ON FUNCTION admin_clear_shopify_sync_queue, admin_delete_batch TO authenticated;
