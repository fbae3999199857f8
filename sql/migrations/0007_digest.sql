-- The morning digest, and a dead man who is known to have been told.

-- When the next digest is due (unknown before the first start), and up to when the last one tells.
ALTER TABLE housekeeping
    ADD COLUMN digest_due_at timestamptz,
    ADD COLUMN digested_at   timestamptz NOT NULL DEFAULT '-infinity';

-- pinged_at: the dead man said that he heard it; so far it was when somebody set out to tell him.
ALTER TABLE housekeeping ADD COLUMN ping_claimed_at timestamptz NOT NULL DEFAULT '-infinity';
UPDATE housekeeping SET pinged_at = '-infinity';

ALTER TABLE notification DROP CONSTRAINT notification_happening_check;
ALTER TABLE notification ADD CONSTRAINT notification_happening_check CHECK (happening IN
    ('opened', 'acknowledged', 'updated', 'resolved', 'summary', 'maintenance', 'digest'));
