-- Promotions by people, with what they can know before.

-- The version of the rule that decided; null: decided by the release before this one.
ALTER TABLE decision ADD COLUMN rule_checksum text;

-- What a rule would have done by itself, over the months.
CREATE INDEX decision_would_have_acted ON decision (at) WHERE reason = 'autonomy';
