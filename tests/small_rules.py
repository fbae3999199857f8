"""Small rules for tests, written into a folder and loaded as any runbook is."""

from pathlib import Path

from responder.runbook.loader import LoadedRule, load

MODULE = '''"""{name} is wrong.

Symptoms: a test.
Prevention: none.
"""

from responder.runbook import Finding, Option, Rule, Sql, Within


class Small(Rule):
    answers = ['alertname="{name}"']
    target = "shop"
    key = ()
    schedule = "{schedule}"
    diagnostics = [Sql("wrong", "What is wrong?")]
    options = [{option}]

    def conclude(self, case):
        if case["wrong"].rows:
            yield Finding("wrong", "It is wrong.", offers=("mend",))
'''

OPTION = (
    'Option("mend", "Mend it", automatic=True, changes={changes}, max_rows={max_rows},'
    ' cooldown="{cooldown}", verify=Within("{within}", every="{every}"))'
)

#: A table of a shop, and what is wrong in it: rows whose state is not `good`.
TABLE = """
CREATE TABLE thing (id int PRIMARY KEY, state text NOT NULL, made_at timestamptz DEFAULT now());
CREATE TABLE other (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
GRANT SELECT ON thing, other TO responder_reading;
GRANT SELECT, INSERT, UPDATE, DELETE ON thing, other TO responder_writing;
INSERT INTO thing (id, state) SELECT n, 'bad' FROM generate_series(1, 3) n;
INSERT INTO thing (id, state) SELECT n, 'good' FROM generate_series(11, 20) n;
"""

STATEMENTS = {
    "wrong": "SELECT id, state FROM thing WHERE state = 'bad'",
    "mend_before": "SELECT id, state FROM thing WHERE state = 'bad' FOR UPDATE",
    "mend": "UPDATE thing SET state = 'good' WHERE state = 'bad' RETURNING *",
    "mend_verify": "SELECT NOT EXISTS (SELECT FROM thing WHERE state = 'bad') AS gone",
}


def small_rule(
    root: Path,
    name: str = "Thing",
    severity: str = "p2",
    statements: dict[str, str] | None = None,
    changes: str = '("thing",)',
    max_rows: int = 5,
    cooldown: str = "30m",
    within: str = "2m",
    every: str = "30s",
    options: str = "",
    schedule: str = "",
) -> LoadedRule:
    """One rule that mends rows of `thing`; `statements` replace or add to the ordinary ones.

    options: other ones than the ordinary automatic one, as they stand in the module.
    """
    file = name.lower()
    option = options or OPTION.format(
        changes=changes, max_rows=max_rows, cooldown=cooldown, within=within, every=every
    )
    for path, text in {
        root / "rules" / severity / f"{file}.py": MODULE.format(
            name=name, option=option, schedule=schedule
        ),
        root / "sql" / "rules" / f"{file}.sql": "\n\n".join(
            f"-- name: {each}\n-- For a test.\n{sql};"
            for each, sql in {**STATEMENTS, **(statements or {})}.items()
        ),
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return next(rule for rule in load(root) if rule.name == file)
