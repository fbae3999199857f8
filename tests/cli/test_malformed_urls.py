"""A URL with a slip in it is never repeated: the password would stand in what is told."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from responder.cli import main
from responder.domain.incident import Stage
from responder.domain.secret import Secret
from responder.domain.settings import Target
from responder.pipeline import walk
from responder.targets.reading import Question, ask
from tests.house import House, alert
from tests.small_rules import TABLE, small_rule
from tests.walks import BAD, fixes, walk_to

PASSWORD = "S3CRETpw"
MALFORMED = [
    pytest.param(f"postgresql:/user:{PASSWORD}@h/db", id="a slash is missing"),
    pytest.param(f"postgresql://user:p@{PASSWORD}@127.0.0.1:1/db", id="an @ in it"),
    pytest.param(f"postgresql://localhost:{PASSWORD}/x@127.0.0.1:1/db", id="a slash in it"),
    pytest.param(f"postgresql://user:{PASSWORD}@127.0.0.1:1/db?x={PASSWORD}", id="a wrong option"),
    pytest.param(f"postgresql://user:{PASSWORD}%zz@127.0.0.1:1/db", id="a wrong escape"),
    pytest.param(f"postgresql://user:{PASSWORD}@127.0.0.1:{PASSWORD}/db", id="a wrong port"),
    pytest.param(PASSWORD, id="no URL at all"),
]
SETTINGS = """
database = "env:TEST_DATABASE"
token_keys = "env:TEST_KEYS"
runbook = "{root}"

[vault]
keys = "env:TEST_VAULT"

[targets.shop_eu]
kind = "shop"
matches = []
reading = "env:TEST_READING"
writing = "env:TEST_WRITING"
"""


def everything(house: House) -> str:
    """All that our database and the receivers hold, as text."""
    tables = ("fix", "decision", "answer", "incident", "audit_event", "notification")
    rows = [house.sql(f"SELECT to_jsonb(t) AS row FROM {table} t") for table in tables]
    told = [message.document for message in (*house.pager.got, *house.hook.got)]
    return json.dumps([rows, told, house.document()])


@pytest.fixture
def broken(
    make_house: Callable[..., House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., House]:
    """A house whose target has this URL for one of its roles."""

    def made(variable: str, url: str) -> House:
        rule = small_rule(tmp_path)
        house = make_house([rule])
        house.shop.run(TABLE)
        house.promote(rule)
        monkeypatch.setenv(variable, url)
        return house

    return made


@pytest.mark.parametrize("url", MALFORMED)
@pytest.mark.parametrize("variable", ["TEST_WRITING", "TEST_READING"])
def test_no_part_of_a_targets_url_is_told(
    broken: Callable[..., House], variable: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    house = broken(variable, url)
    house.post(alert("Thing"))
    house.settle()
    reason = "fix_failed" if variable == "TEST_WRITING" else "diagnosis_failed"
    assert house.decision() == ("hand_over", reason)
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert PASSWORD not in everything(house)
    assert PASSWORD not in "".join(capsys.readouterr())


@pytest.mark.parametrize("url", MALFORMED)
def test_asking_what_became_of_a_fix_does_not_tell_it_either(
    broken: Callable[..., House], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = broken("TEST_UNUSED", "")
    incident = walk_to(house, Stage.VERIFY)
    house.sql("UPDATE fix SET status = 'recorded', verification = NULL")
    house.sql("UPDATE incident SET stage = 'fix'")
    monkeypatch.setenv("TEST_WRITING", url)
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["recorded"]
    assert ("waiting", None) in house.trail()
    assert PASSWORD not in everything(house)


@pytest.mark.parametrize("url", MALFORMED)
def test_nor_does_the_question_whether_its_port_answers(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_READING", url)
    target = Target("shop_eu", "shop", (), Secret(("env:TEST_READING",)))
    answer = ask(target, Question("port", "Does the port answer?", "tcp"), datetime.now(UTC))
    assert answer.status == "failed"
    assert PASSWORD not in str(answer)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Callable[..., Result]:
    """A command with these variables, in a folder with a responder.toml."""
    small_rule(tmp_path)
    (tmp_path / "responder.toml").write_text(SETTINGS.format(root=tmp_path))
    monkeypatch.chdir(tmp_path)
    good = {"TEST_DATABASE": database, "TEST_KEYS": "x", "TEST_READING": "", "TEST_WRITING": ""}

    def ran(*command: str, **variables: Any) -> Result:
        for name, value in {**good, **variables}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(main, command)

    return ran


@pytest.mark.parametrize("command", [("check",), ("check", "--json"), ("migrate",), ("serve",)])
@pytest.mark.parametrize("url", MALFORMED)
def test_no_command_shows_a_part_of_our_databases_url(
    run: Callable[..., Result], command: tuple[str, ...], url: str
) -> None:
    said = run(*command, TEST_DATABASE=url)
    assert said.exit_code == 1
    assert isinstance(said.exception, SystemExit), "a refusal, no traceback"
    assert "cannot be reached" in said.output
    assert PASSWORD not in said.output


def test_the_same_command_is_content_with_a_good_url(run: Callable[..., Result]) -> None:
    said = run("migrate")
    assert (said.exit_code, said.output) == (0, "the schema is up to date\n")
