-- name: bodies
-- Functions, views and foreign tables with one of these names, and the functions of triggers on
-- these tables, each with the text that it is made of.
SELECT 'function' AS kind, format('%%I.%%I', n.nspname, p.proname) AS name,
    pg_get_functiondef(p.oid) AS text, e.extname AS extension, l.lanname AS language,
    l.lanpltrusted AS trusted
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND (p.proname = ANY(%(names)s::text[]) OR p.oid IN (
        SELECT t.tgfoid FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND c.relname = ANY(%(tables)s::text[])
    ))
UNION ALL
SELECT 'view', format('%%I.%%I', n.nspname, c.relname), pg_get_viewdef(c.oid), NULL, NULL, true
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND c.relname = ANY(%(names)s::text[])
UNION ALL
SELECT 'foreign table', format('%%I.%%I', n.nspname, c.relname), '', NULL, NULL, true
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' AND (c.relname = ANY(%(names)s::text[]) OR EXISTS (
    SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
    WHERE i.inhrelid = c.oid AND p.relname = ANY(%(names)s::text[])
));
