-- Checks that rules ask for by a cron.

-- When each is due. Another cron is another row, so that two versions of a rule do not disturb
-- each other during a rolling deploy.
CREATE TABLE schedule (
    rule    text        NOT NULL,
    target  text        NOT NULL,
    cron    text        NOT NULL,
    due_at  timestamptz NOT NULL,
    tries   int         NOT NULL DEFAULT 0,   -- askings in a row that got no answer
    PRIMARY KEY (rule, target, cron)
);
