-- What happened in a day, as the console's page of numbers shows it instead of reading a million rows;
-- counted anew while it can still change.
CREATE TABLE day_count (
    day         date         PRIMARY KEY,
    counted_at  timestamptz  NOT NULL,
    numbers     jsonb        NOT NULL
);
