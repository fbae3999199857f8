"""The pages say what the code knows: no value, call or command is missing there."""

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from responder.cli import main
from responder.cli.setup import runbook_mistakes
from responder.domain.actor import ActorKind
from responder.domain.alert import Alert, AlertOutcome, AlertStatus, DeliveryOutcome
from responder.domain.answer import Answer, AnswerStatus, ErrorKind
from responder.domain.decision import REASONS, Action, Autonomy
from responder.domain.denial import Denial
from responder.domain.escalation import Climb
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import IncidentStatus, ResolvedBy, Stage
from responder.domain.maintenance import Phase, WindowState
from responder.domain.notification import Happening, NotificationStatus
from responder.domain.review import Picked, Verdict
from responder.domain.settings import Expect
from responder.domain.severity import Severity
from responder.pipeline.secrets import State as SecretState
from responder.runbook import Case
from responder.runbook.loader import load
from responder.settings import read
from responder.targets.direct import State
from responder.web.api import SCOPES, SUBJECTS
from responder.web.health import health
from responder.web.openapi import pages
from responder.web.webhooks import webhooks

DOCS = Path(__file__).parent.parent / "docs"
LISTS = {
    "severity": Severity,
    "outcome of a delivery": DeliveryOutcome,
    "outcome of an alert": AlertOutcome,
    "status of an incident, for people": IncidentStatus,
    "stage of an incident, for the engine": Stage,
    "who resolved it": ResolvedBy,
    "status of an answer": AnswerStatus,
    "kind of error": ErrorKind,
    "action of a decision": Action,
    "autonomy of a rule": Autonomy,
    "status of a fix": FixStatus,
    "what is there of a fix that no transaction can hold": State,
    "verification of a fix": Verification,
    "status of a notification": NotificationStatus,
    "what a notification tells": Happening,
    "step of an escalation": Climb,
    "state of a maintenance window": WindowState,
    "verdict of a review": Verdict,
    "why a review is asked for": Picked,
    "state of a secret's version": SecretState,
    "list of a maintenance window": Phase,
    "answer that ticks an item": Expect,
    "actor": ActorKind,
    "reason of a denial": Denial,
}


def rows(page: str) -> list[list[str]]:
    """The cells of all table rows of a page."""
    lines = (DOCS / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]


@pytest.mark.parametrize("word", LISTS)
def test_words_are_the_closed_lists(word: str) -> None:
    (cells,) = [cells for cells in rows("words.md") if cells[0] == word]
    assert cells[1] == " ".join(f"`{value}`" for value in LISTS[word])


def test_words_have_every_reason_under_its_action() -> None:
    told = {
        (cells[0], cells[1].strip("`")) for cells in rows("words.md") if cells[0] in set(Action)
    }
    assert told == {(action, reason) for action, reasons in REASONS.items() for reason in reasons}


def commands(group: click.Group, prefix: str = "responder") -> list[str]:
    found = []
    within = click.Context(group)
    for name in group.list_commands(within):
        command = group.get_command(within, name)
        assert command is not None
        nested = isinstance(command, click.Group)
        found += commands(command, f"{prefix} {name}") if nested else [f"{prefix} {name}"]
    return found


@pytest.mark.parametrize("command", commands(main))
def test_each_command_is_in_the_table(command: str) -> None:
    words = command.split()
    page = (DOCS / "api.md").read_text()
    assert any(
        words[1] in line and words[-1] in line
        for line in page.splitlines()
        if line.startswith("| `responder")
    )


@pytest.mark.parametrize(
    "path",
    ["/v1/webhooks/{source}", "/v1/deliveries/{id}", "/v1/incidents/{id}/events", "/metrics"],
)
def test_paths_are_in_the_table(path: str) -> None:
    assert path in (DOCS / "api.md").read_text()


def test_the_rule_of_the_page_loads_and_concludes(tmp_path: Path) -> None:
    page = (DOCS / "rules.md").read_text()
    for place, language in {
        "rules/p2/queue_stuck.py": "python",
        "sql/rules/queue_stuck.sql": "sql",
    }.items():
        file = tmp_path / place
        file.parent.mkdir(parents=True)
        file.write_text(page.partition(f"```{language}\n")[2].partition("```")[0])
    (rule,) = load(tmp_path)
    assert [option.name for option in rule.rule.options if option.automatic] == ["retry"]
    now = datetime.now(UTC)
    alert = Alert("am", "0", AlertStatus.FIRING, "QueueStuck", "it is stuck", "", {}, now)
    answer = Answer(AnswerStatus.OK, asked_at=now, rows=[{"id": 1}], row_count=1)
    (finding,) = rule.rule.conclude(Case(alert, {}, now, {"exhausted": answer}))
    assert (finding.name, finding.offers) == ("exhausted", ("retry",))


def test_the_usual_windows_of_the_page_can_be_used() -> None:
    page = (DOCS / "maintenance.md").read_text()
    example = (DOCS / "examples" / "responder.toml").read_text()
    settings = read(example + page.partition("```toml\n")[2].partition("```")[0], "the page")
    assert [window.name for window in settings.windows] == ["weekly", "monthly", "quarterly"]
    assert list(runbook_mistakes(settings)) == []
    weekly = settings.windows[0]
    assert (len(weekly.before), len(weekly.after), weekly.watch.seconds) == (5, 4, 3600)


@pytest.mark.parametrize("page", ["escalation.md", "maintenance.md"])
def test_what_the_runbook_says_of_people_and_times_is_one_example(page: str) -> None:
    example = (DOCS / "examples" / "operations.toml").read_text()
    assert (DOCS / page).read_text().partition("```toml\n")[2].partition("```")[0] in example


def test_the_page_of_maintenance_has_every_state() -> None:
    told = [cells[0].strip("`") for cells in rows("maintenance.md")]
    assert [word for word in told if word in set(WindowState)] == list(WindowState)


def test_the_page_of_people_has_every_denial_and_its_status() -> None:
    told = [(cells[0].strip("`"), cells[1][:3]) for cells in rows("people.md")]
    expected = [(each.value, "403" if each.known else "401") for each in Denial]
    assert [row for row in told if row[1].isdigit()] == expected


def test_the_examples_of_people_are_settings() -> None:
    page = (DOCS / "people.md").read_text()
    blocks = [each.partition("```")[0] for each in page.split("```toml\n")[1:]]
    assert [name for block in blocks for name in read(block, "the page").issuers] == [
        *("keycloak", "google", "entra", "shop"),
    ]


def test_the_page_of_people_has_every_scope() -> None:
    page = (DOCS / "people.md").read_text()
    assert [scope for scope in SCOPES if f"`{scope}`" not in page] == []


def test_every_view_is_in_the_table() -> None:
    page = (DOCS / "api.md").read_text()
    views = {
        rule.split("<")[0].rstrip("/").rsplit("/", 1)[-1] or rule
        for blueprint in (*SUBJECTS, health, pages, webhooks)
        for rule in _rules(blueprint)
    }
    assert {view for view in views if view not in page} == set()


def _rules(blueprint: object) -> list[str]:
    from flask import Flask

    app = Flask("documented")
    app.register_blueprint(blueprint)  # type: ignore[arg-type]
    return [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]
