-- When our own database was last seen on another server or timeline than before. What was open then
-- stays with people also after a person has switched automatic fixes on again.
ALTER TABLE autofix ADD COLUMN failed_over_at timestamptz;
UPDATE autofix SET failed_over_at = at WHERE reason = 'our_failover';
