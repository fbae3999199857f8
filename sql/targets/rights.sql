-- name: rights
-- What we may do on a target that nothing needs (excess), and what we need and may not (missing).
WITH me AS MATERIALIZED (
    SELECT oid, rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
    FROM pg_roles WHERE rolname = current_user
), here AS MATERIALIZED (
    SELECT oid FROM pg_database WHERE datname = current_database()
), schemas AS MATERIALIZED (
    SELECT oid, nspname FROM pg_namespace
    WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\_%%'
), needed AS MATERIALIZED (
    SELECT n.privilege, n.columns, n.written, t.oid, t.rowsecurity
    FROM jsonb_to_recordset(%(tables)s::text::jsonb)
        AS n (privilege text, schema text, name text, columns text[], written text)
    LEFT JOIN LATERAL (
        SELECT c.oid, c.relrowsecurity AS rowsecurity
        FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
        WHERE c.relname = n.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND CASE n.schema
            WHEN '' THEN pg_table_is_visible(c.oid) ELSE s.nspname = n.schema END
    ) t ON true
), numbering AS MATERIALIZED (
    SELECT DISTINCT d.refobjid AS oid
    FROM needed n JOIN pg_attrdef a ON a.adrelid = n.oid
    JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
        AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'S'
    JOIN pg_attribute t ON t.attrelid = a.adrelid AND t.attnum = a.adnum
    WHERE n.privilege = 'INSERT' AND (n.columns = '{}' OR t.attname <> ALL (n.columns))
), called AS MATERIALIZED (
    SELECT c.schema, c.name, c.written FROM jsonb_to_recordset(%(functions)s::text::jsonb)
        AS c (schema text, name text, written text)
), routines AS MATERIALIZED (
    SELECT p.oid, p.oid::regprocedure::text AS written, p.prosecdef, p.provolatile, p.prorettype,
        s.oid AS schema, has_function_privilege(p.oid, 'EXECUTE') AS callable,
        EXISTS (
            SELECT FROM called c WHERE c.name = p.proname
                AND CASE c.schema WHEN '' THEN pg_function_is_visible(p.oid) ELSE c.schema = s.nspname END
        ) AS called
    FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
), held AS MATERIALIZED (
    SELECT c.oid, c.relkind, NULL AS attname, a.privilege_type AS privilege, a.grantee
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace CROSS JOIN aclexplode(c.relacl) a
    UNION ALL
    SELECT c.oid, c.relkind, t.attname::text, a.privilege_type, a.grantee
    FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid
    JOIN schemas s ON s.oid = c.relnamespace CROSS JOIN aclexplode(t.attacl) a
    WHERE t.attacl IS NOT NULL AND NOT t.attisdropped
), writes AS (
    SELECT h.oid, h.privilege, h.grantee, string_agg(quote_ident(h.attname), ', ' ORDER BY h.attname)
        AS columns
    FROM held h JOIN me ON h.grantee IN (0, me.oid)
    WHERE h.privilege NOT IN ('SELECT') AND NOT EXISTS (
        SELECT FROM needed n WHERE n.oid = h.oid AND n.privilege = h.privilege
            AND (n.columns = '{}' OR h.attname = ANY (n.columns))
    ) AND NOT (h.privilege = 'USAGE' AND h.oid IN (SELECT oid FROM numbering))
    GROUP BY h.oid, h.privilege, h.grantee, h.attname IS NULL
), excess AS (
    SELECT 1 AS place, word AS what, 'ALTER ROLE ... NO' || word AS cure
    FROM me CROSS JOIN LATERAL (VALUES
        ('SUPERUSER', rolsuper), ('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb),
        ('REPLICATION', rolreplication)
    ) attributes (word, has)
    WHERE has
    UNION ALL
    SELECT 2, 'member of ' || m.roleid::regrole, format('REVOKE %%s FROM it', m.roleid::regrole)
    FROM pg_auth_members m JOIN me ON m.member = me.oid
    WHERE NOT (m.roleid = 'pg_read_all_stats'::regrole AND %(statistics)s)
    UNION ALL
    SELECT 3, 'owner of ' || o.type || ' ' || o.identity, 'give it another owner'
    FROM pg_shdepend d JOIN me ON d.refobjid = me.oid CROSS JOIN here
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) o
    WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND d.dbid IN (0, here.oid)
        AND o.identity IS NOT NULL
    UNION ALL
    SELECT 4, 'CREATE on database ' || quote_ident(current_database()), 'revoke it, also from PUBLIC'
    WHERE has_database_privilege(current_database(), 'CREATE')
    UNION ALL
    SELECT 4, 'CREATE on schema ' || quote_ident(nspname), 'revoke it, also from PUBLIC'
    FROM schemas WHERE has_schema_privilege(oid, 'CREATE')
    UNION ALL
    SELECT 5, privilege || coalesce(' (' || columns || ')', '') || ' on ' || oid::regclass,
        format('REVOKE %%s ON %%s FROM %%s', privilege, oid::regclass,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
    FROM writes
    UNION ALL
    -- What is not volatile cannot write, and a trigger's function cannot be called.
    SELECT 6, 'EXECUTE on ' || written || ', SECURITY DEFINER',
        format('REVOKE EXECUTE ON FUNCTION %%s FROM PUBLIC, or from it', written)
    FROM routines
    WHERE prosecdef AND provolatile = 'v' AND callable AND NOT called
        AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND has_schema_privilege(schema, 'USAGE')
), missing AS (
    SELECT 7 AS place, privilege || coalesce(' (' || lacks || ')', '') || ' on ' || written AS what
    FROM (
        SELECT n.*, (
                SELECT string_agg(quote_ident(wanted), ', ') FROM unnest(n.columns) wanted
                WHERE NOT EXISTS (
                    SELECT FROM pg_attribute t WHERE t.attrelid = n.oid AND t.attname = wanted
                        AND has_column_privilege(n.oid, t.attnum, n.privilege)
                )
            ) AS lacks
        FROM needed n
    ) looked_at
    WHERE lacks IS NOT NULL
        OR columns = '{}' AND NOT coalesce(has_table_privilege(oid, privilege), false)
    UNION ALL
    SELECT 8, 'USAGE on sequence ' || oid::regclass FROM numbering
    WHERE NOT has_sequence_privilege(oid, 'USAGE')
    UNION ALL
    SELECT 8, 'EXECUTE on ' || written FROM routines WHERE called AND NOT callable
    UNION ALL
    SELECT 9, 'BYPASSRLS, for row level security of ' || string_agg(DISTINCT written, ', ')
    FROM needed, me WHERE rowsecurity AND NOT me.rolbypassrls HAVING count(*) > 0
    UNION ALL
    SELECT 9, 'membership in pg_read_all_stats'
    WHERE %(statistics)s AND NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
)
-- A superuser has every right, so only that is said of it.
SELECT current_user::text AS role, true AS excess, place, what, cure FROM excess, me
WHERE NOT me.rolsuper OR what = 'SUPERUSER'
UNION ALL
SELECT current_user::text, false, place, what, NULL FROM missing, me WHERE NOT me.rolsuper
UNION ALL
SELECT current_user::text, NULL, 0, NULL, NULL
ORDER BY place, what;
