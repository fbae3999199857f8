-- name: lacking
-- Which rows are not among others, byte for byte, the volatile columns left out? Their ids.
SELECT coalesce(row::jsonb ->> 'id', 'without an id') AS id
FROM (
    SELECT (value - %(volatile)s::text[])::text AS row FROM jsonb_array_elements(%(rows)s)
    EXCEPT ALL
    SELECT (value - %(volatile)s::text[])::text FROM jsonb_array_elements(%(among)s)
) lacking
ORDER BY length(row::jsonb ->> 'id'), row::jsonb ->> 'id';

-- name: left_by_fix
-- Rows of the after-image of which these are restored.
SELECT value::text AS row FROM jsonb_array_elements(%(after)s)
WHERE value -> 'id' IN (SELECT value -> 'id' FROM jsonb_array_elements(%(restored)s));
