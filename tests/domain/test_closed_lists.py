"""The closed lists of DESIGN 3: the enum and the schema know the same words, in the same order."""

import re
from enum import StrEnum

import psycopg
import pytest

from responder.domain.actor import ROLES, ActorKind
from responder.domain.alert import AlertOutcome, DeliveryOutcome
from responder.domain.answer import AnswerStatus
from responder.domain.decision import REASONS, SENTENCES, Action, Autonomy, Reason
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import IncidentStatus, ResolvedBy, Stage
from responder.domain.maintenance import Phase, WindowState
from responder.domain.notification import Happening, NotificationStatus
from responder.domain.review import Picked, Verdict
from responder.domain.settings import Expect
from responder.domain.severity import Severity
from responder.embedded import LocalPostgres

#: Enum -> the words of the design, and the columns that hold one of them.
LISTS: dict[type[StrEnum], tuple[str, tuple[str, ...]]] = {
    DeliveryOutcome: ("accepted duplicate quarantined refused", ("delivery.outcome",)),
    AlertOutcome: ("opened joined cleared stale suppressed quarantined", ("alert.outcome",)),
    IncidentStatus: ("open acknowledged resolved", ("incident.status",)),
    Stage: ("triage diagnose plan fix verify watch done", ("incident.stage",)),
    ResolvedBy: ("sender person quiet", ("incident.resolved_by",)),
    Severity: (
        "P0 P1 P2 P3",
        ("incident.severity", "incident.declared_severity", "fix.severity"),
    ),
    AnswerStatus: ("ok failed timed_out skipped", ("answer.status",)),
    Action: ("fix propose hand_over wait", ("decision.action",)),
    FixStatus: (
        "started recorded committed rolled_back refused unknown undone",
        ("fix.status",),
    ),
    Verification: ("waiting held failed not_asked", ("fix.verification",)),
    NotificationStatus: ("due sending sent dead superseded", ("notification.status",)),
    Happening: (
        "opened acknowledged updated resolved summary maintenance digest",
        ("notification.happening",),
    ),
    WindowState: (
        "announced waiting in_force finishing watching finished missed cancelled withdrawn",
        ("maintenance_window.state",),
    ),
    Verdict: ("useful wrong harmful", ("review.verdict",)),
    Picked: ("fixed sample", ("review.picked",)),
    Phase: ("before after", ("maintenance_item.phase",)),
    Expect: ("answer no_rows rows", ("maintenance_item.expect",)),
    Autonomy: ("observe propose act", ("promotion.autonomy",)),
    ActorKind: ("responder person sender system", ("audit_event.actor_kind", "fix.actor_kind")),
}
#: Where a column takes less than the whole list: what never becomes a row, and who never fixes.
NARROWER = {"delivery.outcome": {"refused"}, "fix.actor_kind": {"sender", "system"}}

COLUMNS = [(enum, column) for enum, (_, places) in LISTS.items() for column in places]
#: (table, its columns, the text of the CHECK).
Checks = list[tuple[str, list[str], str]]

REASONS_OF = {
    "fix": "allowed",
    "propose": "severity severity_unreadable autonomy not_automatic target_on_fire cooldown"
    " breaker limit window stopped",
    "hand_over": "no_rule no_target ambiguous_target parameter_missing nothing_found no_option"
    " diagnosis_failed rule_failed fix_failed not_verified unknown our_failover gave_up",
    "wait": "look_again fix_running verifying",
}


@pytest.fixture(scope="module")
def checks(cluster: LocalPostgres, template: str) -> Checks:
    """Every CHECK of our schema, partitions left out."""
    with psycopg.connect(cluster.url(template)) as connection:
        return connection.execute(
            """
            SELECT t.relname, array_agg(a.attname::text), pg_get_constraintdef(c.oid)
            FROM pg_constraint c
            JOIN pg_class t ON t.oid = c.conrelid AND NOT t.relispartition
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
            WHERE c.contype = 'c' AND c.connamespace = 'responder'::regnamespace
            GROUP BY c.oid, t.relname
            """
        ).fetchall()


def quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


@pytest.mark.parametrize(
    ("enum", "words"), [(enum, words) for enum, (words, _) in LISTS.items()], ids=lambda each: each
)
def test_the_enum_is_the_design(enum: type[StrEnum], words: str) -> None:
    assert [member.value for member in enum] == words.split()
    assert [member.name for member in enum] == words.upper().split()


@pytest.mark.parametrize(("enum", "column"), COLUMNS, ids=str)
def test_the_schema_takes_these_words_alone(
    checks: Checks, enum: type[StrEnum], column: str
) -> None:
    (text,) = (
        text
        for table, columns, text in checks
        if column == f"{table}.{columns[0]}" and len(columns) == 1
    )
    assert quoted(text) == [word for word in enum if word not in NARROWER.get(column, set())]


def test_no_list_of_the_schema_is_left_out(checks: Checks) -> None:
    listed = {f"{table}.{columns[0]}" for table, columns, text in checks if "ARRAY[" in text}
    # A timer's errand is our own affair: it stands in no document and has no enum.
    ours = {"timer.what", "decision.action", "fix.actor_kind", "token.role", "web_session.role"}
    ours.add("maintenance_item.ticked_kind")  # a person, or a diagnostic
    assert listed == {column for _, column in COLUMNS} | ours


def test_a_token_has_one_of_our_roles(checks: Checks) -> None:
    (text,) = (text for table, columns, text in checks if (table, columns) == ("token", ["role"]))
    assert tuple(quoted(text)) == ROLES


def test_the_schema_knows_which_reason_an_action_has(checks: Checks) -> None:
    (text,) = (text for _, columns, text in checks if set(columns) == {"action", "reason"})
    _, *parts = text.split("action = ")
    known = {quoted(part)[0]: quoted(part)[1:] for part in parts}
    assert known == {action: reasons.split() for action, reasons in REASONS_OF.items()}


def test_every_reason_belongs_to_one_action() -> None:
    given = [reason for reasons in REASONS.values() for reason in reasons]
    assert sorted(given) == sorted(Reason)
    assert {action: set(reasons) for action, reasons in REASONS.items()} == {
        action: set(reasons.split()) for action, reasons in REASONS_OF.items()
    }


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_sentence(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z].+\.", SENTENCES[reason])
    others = {other: sentence for other, sentence in SENTENCES.items() if other != reason}
    assert SENTENCES[reason] not in others.values()


@pytest.mark.parametrize(
    ("promoted", "ceiling", "effective"),
    [
        ("observe", "act", "observe"),
        ("act", "observe", "observe"),
        ("act", "propose", "propose"),
        ("propose", "act", "propose"),
        ("act", "act", "act"),
    ],
)
def test_autonomy_is_the_lesser_of_two(promoted: str, ceiling: str, effective: str) -> None:
    assert Autonomy(promoted).capped(Autonomy(ceiling)) == effective
