-- Who is logged in to the console; the cookie's secret itself is kept nowhere.

CREATE TABLE web_session (
    id          uuid        PRIMARY KEY,
    secret      bytea       NOT NULL UNIQUE,  -- SHA-256 of what the cookie holds
    person      text        NOT NULL,
    role        text        NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    token_id    uuid,                         -- the token that it was begun with
    begun_at    timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    ended_at    timestamptz
);
CREATE INDEX web_session_ends_at ON web_session (ends_at);
CREATE INDEX web_session_token ON web_session (token_id) WHERE token_id IS NOT NULL;
