"""What reaches outside of an option's transaction is named by the lint, as far as text tells."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from responder.cli import main
from responder.domain.secret import Secret
from responder.domain.settings import Target
from responder.runbook.loader import LoadedRule
from responder.runbook.outside import outside_mistakes
from responder.targets.catalogue import look_up
from tests.small_rules import TABLE, small_rule

if TYPE_CHECKING:
    from tests.shop import Shop

MEND = "UPDATE thing SET state = 'good' WHERE state = 'bad' RETURNING *"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("SELECT dblink_exec('x', 'y')", "dblink_exec("),
        ("SELECT net.http_post(url := 'x')", "net.http_post("),
        ("SELECT http_get ('x')", "http_get ("),
        ("SELECT lo_export(1, '/x')", "lo_export("),
        ("COPY thing TO PROGRAM 'mail'", "COPY thing TO PROGRAM '"),
        ("COPY thing TO '/tmp/x'", "COPY thing TO '"),
    ],
)
def test_a_statement_that_reaches_outside_is_named(
    tmp_path: Path, statement: str, named: str
) -> None:
    (mistake,) = outside_mistakes(small_rule(tmp_path, statements={"mend": statement}))
    assert mistake == (
        f"thing.mend reaches outside: its statements have {named};"
        " it must not be automatic, and be marked outside=True"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_notify('http_get', 'x')",
        "SELECT 1 -- not http_get('x')",
        "SELECT url, http FROM thing WHERE http IN ('x')",
        "UPDATE thing SET state = 'copy to program'",
    ],
)
def test_what_only_sounds_like_it_is_not(tmp_path: Path, statement: str) -> None:
    assert not list(outside_mistakes(small_rule(tmp_path, statements={"mend": statement})))


FAR = 'Option("mend", "x", changes=("thing",), outside={}),'


@pytest.mark.parametrize(("marked", "mistakes"), [(True, 0), (False, 1)])
def test_it_may_be_marked_for_people(tmp_path: Path, marked: bool, mistakes: int) -> None:
    call = {"mend": "SELECT http_get('x')"}
    rule = small_rule(tmp_path, statements=call, options=FAR.format(marked))
    found = list(outside_mistakes(rule))
    assert len(found) == mistakes
    assert all(each.endswith("; mark it outside=True") for each in found)


# In a target's catalogue

FUNCTION = "CREATE FUNCTION {}() RETURNS {} LANGUAGE plpgsql AS $$ BEGIN {} END $$;"
TRIGGER = "CREATE TRIGGER told AFTER UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION {}();"
TELLS = FUNCTION.format("tells", "trigger", "PERFORM further(); RETURN NULL;")
FURTHER = FUNCTION.format("further", "void", "PERFORM net.http_post('x');")


def found(shop: "Shop", rule: LoadedRule, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TEST_READING", shop.url("responder_reading"))
    target = Target("shop_eu", "shop", [], Secret(("env:TEST_READING",)))
    now = datetime.now(UTC)
    return list(outside_mistakes(rule, lambda *names: look_up(target, *names, now)))


@pytest.mark.parametrize(
    ("made", "mend", "named"),
    [
        (
            FURTHER + TELLS + TRIGGER.format("thing", "tells"),
            MEND,
            "function public.further has net.http_post(",
        ),
        (
            FURTHER
            + FUNCTION.format("notes", "trigger", "INSERT INTO other DEFAULT VALUES; RETURN NULL;")
            + TELLS
            + TRIGGER.format("thing", "notes")
            + TRIGGER.format("other", "tells"),
            MEND,
            "function public.further has net.http_post(",
        ),
        (FURTHER, "SELECT further()", "function public.further has net.http_post("),
        (
            "CREATE FUNCTION far() RETURNS text BEGIN ATOMIC SELECT public.near(); END;",
            "SELECT far()",
            "function public.near has http_get(",
        ),
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
            "CREATE FOREIGN TABLE away (id int) SERVER s;"
            "CREATE VIEW seen AS SELECT id FROM away;",
            "SELECT * FROM seen",
            "public.away is a foreign table",
        ),
        ("CREATE EXTENSION dblink;", "SELECT dblink_get_pkey('x')", "of the extension dblink"),
        (
            FUNCTION.format('"Far Away"', "void", "PERFORM lo_export(1, 'x');"),
            'SELECT "Far Away"()',
            'function public."Far Away" has lo_export(',
        ),
        (TELLS + FUNCTION.format("further", "void", "NULL;"), MEND, None),
        (
            FUNCTION.format("tells", "trigger", "PERFORM pg_notify('a', 'b'); RETURN NULL;")
            + TRIGGER.format("thing", "tells"),
            MEND,
            None,
        ),
        (FURTHER + FUNCTION.format("other_one", "void", "PERFORM other_one();"), MEND, None),
    ],
    ids=[
        *("a trigger's function calls one", "a trigger of a table that a trigger writes to"),
        *("a function", "a body of SQL's own", "a view of a foreign table", "an extension"),
        *("a name in quotes", "a function of no trigger", "pg_notify", "nobody calls it"),
    ],
)
def test_what_a_target_adds_is_named(
    shop: "Shop",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: str,
    mend: str,
    named: str | None,
) -> None:
    shop.run(TABLE)
    shop.run(
        "CREATE FUNCTION near() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN http_get('x'); END $$"
    )
    try:
        shop.run(made)
    except psycopg.errors.FeatureNotSupported as error:
        pytest.skip(f"this server has no such extension: {error}")
    mistakes = found(shop, small_rule(tmp_path, statements={"mend": mend}), monkeypatch)
    assert bool(mistakes) == (named is not None)
    assert named is None or named in mistakes[-1]


def test_the_shipped_rules_stay_inside_in_the_shop_of_the_demo(
    shared_shop: "Shop", rules: dict[str, LoadedRule], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rule in rules.values():
        assert found(shared_shop, rule, monkeypatch) == []


# The command

Lint = Callable[..., Result]


@pytest.fixture
def lint(tmp_path: Path, shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> Lint:
    monkeypatch.setenv("TEST_READING", shop.url("responder_reading"))
    shop.run(TABLE)
    shop.run(FURTHER)

    def run(*arguments: str, **of_rule: Any) -> Result:
        small_rule(tmp_path, **of_rule)
        config = tmp_path / "responder.toml"
        config.write_text(
            f'runbook = "{tmp_path}"\n[targets.shop_eu]\nkind = "shop"\nmatches = []\n'
            'reading = "env:TEST_READING"\n[receivers.p]\ntype = "pagerduty"\n'
            'routing_key = "env:KEY"\n[sources.s]\ntype = "alertmanager"\nbearer = "env:TOKEN"\n'
        )
        return CliRunner().invoke(main, ["rules", "lint", "--config", str(config), *arguments])

    return run


def test_the_lint_looks_into_a_target_when_asked_to(lint: Lint) -> None:
    calls = {"statements": {"mend": "SELECT further()"}}
    assert lint(**calls).exit_code == 0
    result = lint("--target", "shop_eu", **calls)
    assert result.exit_code == 1
    assert "thing.mend reaches outside: function public.further has net.http_post(" in result.output


def test_the_lint_of_statements_needs_no_target(lint: Lint) -> None:
    result = lint(statements={"mend": "SELECT http_get('x')"})
    assert result.exit_code == 1
    assert "thing.mend reaches outside: its statements have http_get(" in result.output


def test_the_lint_names_the_targets_that_there_are(lint: Lint) -> None:
    result = lint("--target", "nobody")
    assert (result.exit_code, "there are shop_eu" in result.output) == (1, True)


def test_a_target_that_cannot_be_asked_is_no_all_clear(
    lint: Lint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_READING", "postgresql://u:hidden@127.0.0.1:1/x")
    result = lint("--target", "shop_eu")
    assert (result.exit_code, "hidden" in result.output) == (1, False)
    assert "target shop_eu cannot be asked" in result.output
