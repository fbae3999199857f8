-- Parts of the script that `responder roles` prints. They take what they are about from settings of
-- the transaction, so that no name stands in their text.

-- name: make
-- Make the role where it is missing, and take from it what no role of the responder needs.
DO $$
DECLARE
    wanted text := current_setting('responder.role');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I', wanted);
    ELSIF EXISTS (
        SELECT FROM pg_roles WHERE rolname = wanted
            AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication)
    ) THEN
        EXECUTE format(
            'ALTER ROLE %I NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION', wanted);
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    RAISE NOTICE 'another session makes role %', wanted;
END $$;

-- name: see_all_rows
-- Let it see all rows: its sessions refuse to be shown only some of them by row level security.
DO $$
BEGIN
    EXECUTE format('ALTER ROLE %I BYPASSRLS', current_setting('responder.role'));
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'role % lacks BYPASSRLS', current_setting('responder.role')
        USING HINT = 'From PostgreSQL 16 on, whoever has it may grant it (on Supabase: postgres), '
            'before only a superuser. Without it, tables with row level security cannot be asked.';
END $$;

-- name: see_statistics
-- Let it see what other sessions do and which statements are slow.
DO $$
BEGIN
    EXECUTE format('GRANT pg_read_all_stats TO %I', current_setting('responder.role'));
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'role % is no member of pg_read_all_stats', current_setting('responder.role')
        USING HINT = 'Ask a superuser; without it, queries of other sessions are hidden.';
END $$;

-- name: take_back
-- Take back everything that it was granted itself; what is needed is granted again below.
DO $$
DECLARE
    wanted regrole := quote_ident(current_setting('responder.role'))::regrole;
    kept text := current_setting('responder.membership');
    each record;
BEGIN
    FOR each IN
        SELECT DISTINCT kind, (pg_identify_object(classid, objid, 0)).identity
        FROM pg_shdepend JOIN (VALUES
            ('pg_class'::regclass, 'TABLE'), ('pg_proc', 'ROUTINE'), ('pg_namespace', 'SCHEMA'),
            ('pg_database', 'DATABASE')
        ) kinds (class, kind) ON class = classid
        WHERE refclassid = 'pg_authid'::regclass AND refobjid = wanted AND deptype = 'a'
            AND (SELECT oid FROM pg_database WHERE datname = current_database())
                = CASE classid WHEN 'pg_database'::regclass THEN objid ELSE dbid END
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', each.kind, each.identity, wanted);
    END LOOP;
    FOR each IN
        SELECT roleid::regrole AS held FROM pg_auth_members
        WHERE member = wanted AND roleid::regrole::text <> kept
    LOOP
        EXECUTE format('REVOKE %s FROM %s', each.held, wanted);
    END LOOP;
END $$;

-- name: connect
-- Let it connect to this database.
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(),
        current_setting('responder.role'));
END $$;

-- name: find_views
-- Let it find views of extensions, wherever those were put, behind the schemas of its tables.
DO $$
DECLARE
    wanted text := current_setting('responder.role');
    path text := current_setting('search_path');
    place name;
BEGIN
    FOR place IN
        SELECT DISTINCT n.nspname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname IN (
                SELECT jsonb_array_elements_text(current_setting('responder.views')::jsonb)
            ) AND EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
            )
        ORDER BY n.nspname
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', place, wanted);
        IF place <> ALL (current_schemas(false)) THEN
            path := path || format(', %I', place);
        END IF;
    END LOOP;
    EXECUTE format('ALTER ROLE %I SET search_path = %s', wanted, path);
END $$;

-- name: let_call
-- Let it call those of these functions that are not PostgreSQL's own and not open to everybody.
DO $$
DECLARE
    called regprocedure;
BEGIN
    FOR called IN
        SELECT p.oid
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN jsonb_array_elements_text(current_setting('responder.functions')::jsonb) wanted (name)
            ON wanted.name = n.nspname || '.' || p.proname
            OR wanted.name = p.proname AND n.nspname = ANY (current_schemas(false))
        WHERE n.nspname <> 'pg_catalog' AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
        ORDER BY p.oid
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', called,
            current_setting('responder.role'));
    END LOOP;
END $$;

-- name: let_number
-- Let it take numbers from the sequences that fill columns of the rows that it inserts.
DO $$
DECLARE
    wanted text := current_setting('responder.role');
    sequence regclass;
BEGIN
    FOR sequence IN
        SELECT DISTINCT s.oid
        FROM pg_attrdef a
        JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
            AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
        WHERE has_table_privilege(wanted, a.adrelid, 'INSERT')
            OR has_any_column_privilege(wanted, a.adrelid, 'INSERT')
                AND NOT has_column_privilege(wanted, a.adrelid, a.adnum, 'INSERT')
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', sequence, wanted);
    END LOOP;
END $$;
