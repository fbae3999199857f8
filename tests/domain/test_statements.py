"""Files of named statements: what is read from them, and what is refused."""

import pytest

from responder.domain.statements import Statement, parse_statements

FILE = """\
-- What stands above the first statement is for the reader of the file.

-- name: stuck
-- Which items wait too long,
-- the oldest first.
SELECT id FROM item
-- a comment inside belongs to the statement
WHERE age > %(age)s AND shop = %(shop)s OR age > %(age)s;

--name: not a header
-- name:retry_1
--Queue them again.
UPDATE item SET status = 'queued'   ;
"""


def test_each_statement_has_its_name_sentence_and_sql() -> None:
    found = parse_statements(FILE.replace("--name: not a header\n", ""), "rule.sql")
    assert found == {
        "stuck": Statement(
            "stuck",
            "SELECT id FROM item\n-- a comment inside belongs to the statement\n"
            "WHERE age > %(age)s AND shop = %(shop)s OR age > %(age)s",
            "Which items wait too long, the oldest first.",
        ),
        "retry_1": Statement("retry_1", "UPDATE item SET status = 'queued'", "Queue them again."),
    }


def test_the_parameters_that_it_binds() -> None:
    found = parse_statements(FILE.replace("--name: not a header\n", ""), "rule.sql")
    assert found["stuck"].needs() == {"age", "shop"}
    assert found["retry_1"].needs() == set()


@pytest.mark.parametrize("text", ["", "\n\n", "-- only a remark\n"])
def test_a_file_may_hold_no_statement(text: str) -> None:
    assert parse_statements(text, "rule.sql") == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\n-- One.\nSELECT 1;\n-- name: a\n-- Two.\nSELECT 2;", "named a"),
        ("-- name: a\nSELECT 1;", "a needs one sentence"),
        ("-- name: a\n-- One.\n", "a needs one sentence"),
        ("-- name: a\n-- One.\n;\n", "a needs one sentence"),
        ("-- name: a\n--\nSELECT 1;", "a needs one sentence"),
        ("-- name: a\n-- One.\nSELECT 1;\n-- name: B\n-- Two.\nSELECT 2;", "-- name: B"),
        ("--name: a\n-- One.\nSELECT 1;", "--name: a"),
        ("-- name a\n-- One.\nSELECT 1;\n-- Name: b-c\n-- One.\nSELECT 1;", "-- Name: b-c"),
    ],
)
def test_a_mistake_names_the_file_and_the_statement(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_statements(text, "rule.sql")
    assert str(refused.value).startswith("rule.sql: ")
    assert complaint in str(refused.value)
