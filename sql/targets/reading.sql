-- name: lacking
-- Is a table large and without an index that has this column or expression? No row: it is not.
SELECT t.relname::text
FROM pg_class t
WHERE t.oid = to_regclass(%(table)s) AND (t.relkind = 'p' OR pg_relation_size(t.oid) > %(bytes)s)
    AND NOT EXISTS (
        SELECT FROM pg_index i CROSS JOIN generate_series(1, i.indnkeyatts) place
        WHERE i.indrelid = t.oid AND i.indisvalid
            -- lower((email)::text) is lower(email) to whoever writes a rule
            AND regexp_replace(pg_get_indexdef(i.indexrelid, place, false), '::\w+( varying)?|[() "]', '', 'g')
                = regexp_replace(%(column)s, '[()]', '', 'g')
    );
