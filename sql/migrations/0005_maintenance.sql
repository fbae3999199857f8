-- Recurring maintenance windows, their checklists, and conditions that a window keeps back.
-- Running 0003 code goes on working beside it: what it writes has no checklist.

-- starts_at never moves; ends_at moves to the moment at which somebody ends it early.
ALTER TABLE maintenance_window
    ADD COLUMN name text,                                   -- the [[windows]] that it is an occurrence of
    ADD COLUMN definition text,                             -- a digest of what the settings said of it
    ADD COLUMN state text NOT NULL DEFAULT 'announced' CHECK (state IN
        ('announced', 'waiting', 'in_force', 'finishing', 'watching', 'finished', 'missed', 'cancelled',
         'withdrawn')),
    ADD COLUMN ready_at timestamptz DEFAULT now(),          -- its list before is complete; NULL: not yet
    ADD COLUMN done_at timestamptz DEFAULT now(),           -- its list afterwards is complete; NULL: not yet
    ADD COLUMN watch interval NOT NULL DEFAULT '1 hour',    -- how long it is watched after its end
    ADD COLUMN next_at timestamptz DEFAULT now();           -- when its state must be looked at again
UPDATE maintenance_window SET state = 'finished', next_at = NULL WHERE ends_at <= now();
-- One row for each occurrence, whichever process comes first; one that was withdrawn may come again.
CREATE UNIQUE INDEX maintenance_window_occurrence ON maintenance_window (name, starts_at)
    WHERE name IS NOT NULL AND state <> 'withdrawn';
CREATE INDEX maintenance_window_next_at ON maintenance_window (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX maintenance_window_newest ON maintenance_window (created_at DESC, id DESC);

CREATE TABLE maintenance_item (
    window_id    uuid        NOT NULL REFERENCES maintenance_window,
    position     int         NOT NULL,             -- counted through both lists
    phase        text        NOT NULL CHECK (phase IN ('before', 'after')),
    item         text        NOT NULL,
    diagnostic   text        NOT NULL DEFAULT '',  -- what answers it by itself: <rule>.<diagnostic>
    target       text        NOT NULL DEFAULT '',  -- of whom that is asked
    expect       text        NOT NULL DEFAULT 'answer' CHECK (expect IN ('answer', 'no_rows', 'rows')),
    ask_at       timestamptz,                      -- when it is asked next
    answer       jsonb,                            -- what came back at last
    ticked_at    timestamptz,
    ticked_kind  text        CHECK (ticked_kind IN ('person', 'system')),
    ticked_by    text,
    PRIMARY KEY (window_id, position)
);
CREATE INDEX maintenance_item_ask_at ON maintenance_item (ask_at) WHERE ask_at IS NOT NULL;

-- A window with everything off keeps the condition back until then; after that it is taken up once.
ALTER TABLE condition
    ADD COLUMN held_until timestamptz,
    ADD COLUMN held_by uuid REFERENCES maintenance_window;
CREATE INDEX condition_held ON condition (held_until) WHERE held_until IS NOT NULL;

-- A message may tell of a maintenance, which is no incident.
ALTER TABLE notification DROP CONSTRAINT notification_happening_check;
ALTER TABLE notification ADD CONSTRAINT notification_happening_check CHECK (happening IN
    ('opened', 'acknowledged', 'updated', 'resolved', 'summary', 'maintenance'));
