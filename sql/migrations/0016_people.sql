-- What a token opens and when it was last used, whom we let in no more, and who tries at the door.

ALTER TABLE token
    ADD COLUMN scope        text[],      -- subjects of the API; NULL is all
    ADD COLUMN last_used_at timestamptz;

-- All tokens and sessions of this person from before opened their last door.
CREATE TABLE person_revoked (
    person      text        PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL
);

-- A session that was begun at a provider goes by it again, where somebody may have lost a role.
ALTER TABLE web_session ADD COLUMN recheck_at timestamptz;

-- Wrong tokens at the console's door, lately, by who tried: an address or a name.
CREATE TABLE login_failure (
    who         text        PRIMARY KEY,
    since       timestamptz NOT NULL,
    failures    integer     NOT NULL
);
