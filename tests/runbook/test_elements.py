"""Whatever the runbook says has a home; the lint names what has lost it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from responder.cli import main
from responder.runbook.elements import KINDS, Runbook, read_runbook
from responder.runbook.loader import RunbookWrong

ROOT = Path(__file__).parents[2]
SETTINGS = ("docs/examples/responder.toml", "docs/examples/operations.toml")
#: How much the specification says, by kind; none of it may get lost.
SAID = {
    "severity": 4,
    "symptom": 22,
    "question": 15,
    "option": 20,
    "verification": 7,
    "prevention": 3,
    "contact": 3,
    "level": 4,
    "window": 3,
    "before": 5,
    "after": 5,
}

Lint = Callable[..., Result]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The runbook of this repository, to break."""
    for folder in (
        "rules",
        "sql/rules",
        "tests/rules",
        "tests/pipeline",
        "tests/processes",
        "tests/domain",
    ):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "docs").mkdir()
    for file in ("runbook.toml", "docs/runbook.md"):
        shutil.copy(ROOT / file, tmp_path / file)
    text = "\n".join((ROOT / file).read_text() for file in SETTINGS)
    (tmp_path / "responder.toml").write_text(f'runbook = "{tmp_path}"\n{text}')
    return tmp_path


@pytest.fixture
def lint(copy: Path) -> Lint:
    def run(*arguments: str) -> Result:
        config = str(copy / "responder.toml")
        return CliRunner().invoke(main, ["rules", "lint", "--config", config, *arguments])

    return run


def replace(path: Path, pattern: str, by: str = "") -> None:
    text = path.read_text()
    changed = re.sub(pattern, by, text, count=1, flags=re.M | re.S)
    assert changed != text
    path.write_text(changed)


def runbook() -> Runbook:
    found = read_runbook(ROOT)
    assert found is not None
    return found


def test_all_that_the_specification_says_is_there() -> None:
    kinds = [element.kind for section in runbook().sections for element in section.elements]
    assert {kind: kinds.count(kind) for kind in SAID} == SAID
    assert len(kinds) == sum(SAID.values())


def test_everything_is_at_home(lint: Lint) -> None:
    result = lint()
    assert result.exit_code == 0, result.output
    assert f"{sum(SAID.values())} elements of the runbook, each at home" in result.output


@pytest.mark.parametrize(
    ("file", "pattern", "by", "named"),
    [
        ("rules/p3/slow_queries.py", r'Sql\("sizes".*?\n', "", "statement slow_queries.sizes"),
        ("rules/p1/circuit_breaker_open.py", r'"redeploy"', '"deploy"', "_open.redeploy"),
        ("rules/p1/circuit_breaker_open.py", "degrade gracefully", "try", "degrade gracefully"),
        ("rules/p2/shopify_queue_stuck.py", "    shopify_sync_queue grows.", "", "_queue grows"),
        ("rules/p3/slow_queries.py", "^Symptoms:.*?\n\n?(?=Prevention)", "", "pages load slowly"),
        ("responder.toml", r"\[contacts.security_team\]", "[contacts.other]", "security_team"),
        ("responder.toml", "business hours", "24/7", "availability.business hours"),
        ("responder.toml", r'severity = \["P0"\]', "", "levels.4.severity.P0"),
        (
            *("responder.toml", r'severity = \["P0"\]', 'severity = ["P0", "P1"]'),
            "'Level 4: page database admin (P0 only)' has a setting that it must not have: "
            "levels.4.severity.P1",
        ),
        (
            *("responder.toml", r'\["devops_lead"\]', '["devops_lead", "database_admin"]'),
            "levels.3.contacts.database_admin",
        ),
        (
            *("responder.toml", r'availability = "24/7"', 'availability = "business hours"'),
            "contacts.database_admin.availability.24/7",
        ),
        (
            *("responder.toml", "business hours", 'business hours"\nhours = "10:00-11:00'),
            "contacts.devops_lead.hours",
        ),
        ("responder.toml", "09:00-17:00", "09:00-09:30", "business_hours.hours.09:00-17:00"),
        ("responder.toml", "Europe/Berlin", "Asia/Tokyo", "business_hours.time_zone"),
        (
            *("responder.toml", r"\[business_hours\]", '[business_hours]\ndays = ["mon"]'),
            "business_hours.days",
        ),
        ("responder.toml", r'name = "quarterly"', 'name = "other"', "windows.quarterly"),
        ("responder.toml", '"Take database snapshot",', "", "Take database snapshot"),
        ("responder.toml", '"Run smoke tests"', '"Smoke"', "weekly.after.Run smoke tests"),
        ("responder.toml", 'watch = "1h"', "", "windows.weekly.watch.1h"),
    ],
)
def test_what_loses_its_home_is_named(
    copy: Path, lint: Lint, file: str, pattern: str, by: str, named: str
) -> None:
    replace(copy / file, pattern, by)
    if "Sql" in pattern:
        replace(copy / "sql/rules/slow_queries.sql", r"-- name: sizes", "-- name: other")
    result = lint()
    assert result.exit_code == 1
    assert named in result.output


@pytest.mark.parametrize("rule", [path.stem for path in sorted(ROOT.glob("rules/p?/[a-z]*.py"))])
def test_a_rule_that_is_gone_is_named(copy: Path, lint: Lint, rule: str) -> None:
    (path,) = copy.glob(f"rules/p?/{rule}.py")
    path.unlink()
    (copy / f"sql/rules/{rule}.sql").unlink()
    result = lint()
    assert result.exit_code == 1
    assert f"rule {rule}" in result.output or f"text {rule}" in result.output


@pytest.mark.parametrize("path", sorted(ROOT.glob("rules/p?/[a-z]*.py")), ids=lambda at: at.stem)
def test_a_rule_of_another_severity_is_named(copy: Path, lint: Lint, path: Path) -> None:
    was, now = path.parent.name, "p3" if path.parent.name == "p2" else "p2"
    shutil.move(copy / "rules" / was / path.name, copy / "rules" / now / path.name)
    assert f"has lost its rule {path.stem} {was.upper()}\n" in lint().output


def test_a_test_that_is_gone_is_named(copy: Path, lint: Lint) -> None:
    (copy / "tests/rules/test_slow_queries.py").unlink()
    chain = copy / "tests/processes/test_real_chain.py"
    replace(chain, r"^def test_every_alert_of_the_documentation_fires\(", "def other(")
    (copy / "tests/domain/test_hours.py").write_text("")
    output = lint().output
    assert "has lost its test rules/test_slow_queries.py" in output
    assert "test_real_chain.py::test_every_alert_of_the_documentation_fires" in output
    assert "has lost its test domain/test_hours.py" in output


def test_tests_that_are_all_gone_are_named(copy: Path, lint: Lint) -> None:
    shutil.rmtree(copy / "tests")
    homes = {
        home for section in runbook().sections for each in section.elements for home in each.homes
    }
    lost = [home for home in homes if home.startswith("test ")]
    output = lint().output
    assert lost
    assert [home for home in lost if f"has lost its {home}\n" not in output] == []


def test_an_element_that_is_gone_is_seen_by_the_page(copy: Path, lint: Lint) -> None:
    replace(copy / "runbook.toml", r'    \{ kind = "symptom".*?\n')
    result = lint()
    assert (result.exit_code, "docs/runbook.md" in result.output) == (1, True)
    assert 'it says: | symptom | API requests failing with "Circuit breaker is open" |' in (
        result.output
    )
    assert lint("--write").exit_code == 0
    assert lint().exit_code == 0


def test_an_element_that_the_page_has_lost_is_named(copy: Path, lint: Lint) -> None:
    replace(copy / "docs/runbook.md", r"^\| contact \| Security Team.*?\n")
    result = lint()
    assert result.exit_code == 1
    assert "it lacks: | contact | Security Team: security@example.com, 24/7 |" in result.output
    replace(copy / "docs/runbook.md", r"\n\Z")
    assert lint().exit_code == 1


def test_a_page_that_is_not_there_is_said_in_one_line(copy: Path, lint: Lint) -> None:
    (copy / "docs/runbook.md").unlink()
    assert lint().output.splitlines()[1:] == ["Error: 1 to mend"]


@pytest.mark.parametrize(
    ("pattern", "by", "why"),
    [
        (r'kind = "symptom"', 'kind = "sign"', KINDS[0]),
        (r"homes = \[[^]]*\]", "homes = []", "has no home"),
        (r'homes = \["rule', 'homes = ["place', "not 'place"),
        (r'text = "[^"]*", ', "", "an element has a kind, a text and homes"),
        (r"^owner = .*?\n", "", "owner is missing"),
        (r"^name = ", "title = ", "title is unknown"),
        (r"^name = ", "name ", "runbook.toml: "),
    ],
)
def test_what_is_wrong_in_it_is_said(copy: Path, pattern: str, by: str, why: str) -> None:
    replace(copy / "runbook.toml", pattern, by)
    with pytest.raises(RunbookWrong, match=re.escape(why)):
        read_runbook(copy)


def test_a_runbook_without_elements_is_no_mistake(copy: Path, lint: Lint) -> None:
    (copy / "runbook.toml").unlink()
    assert lint().exit_code == 0
