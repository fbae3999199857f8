-- Undo of a fix: one row of its own, made at most once. The release before this one goes on working.
ALTER TABLE fix ADD COLUMN left_rows jsonb NOT NULL DEFAULT '[]';  -- ids of rows an undo left alone

-- Also the look-up of what undoes a fix.
CREATE UNIQUE INDEX fix_undone_once ON fix (undoes)
    WHERE NOT dry_run AND status NOT IN ('refused', 'rolled_back');
