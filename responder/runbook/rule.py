"""The parts of a rule: what it answers, what it asks, what it concludes, what it offers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from responder.domain.alert import Alert
from responder.domain.answer import Answer
from responder.domain.duration import parse_duration


@dataclass(frozen=True)
class Sql:
    """Ask the target's database the statement of this name; `after`: not if that one failed.

    index: "table (column)" that the statement needs; where a large table lacks it, the question is
    not asked, which is a finding.
    """

    name: str
    question: str
    after: str = ""
    timeout: str = "5s"
    index: str = ""


@dataclass(frozen=True)
class Http:
    """Ask a path of the target that its configuration lists as harmless, with HEAD or GET."""

    name: str
    question: str
    path: str
    method: str = "HEAD"
    after: str = ""
    timeout: str = "5s"


@dataclass(frozen=True)
class Tcp:
    """Ask whether the port of the target's database answers."""

    name: str
    question: str
    after: str = ""
    timeout: str = "2s"


Diagnostic = Sql | Http | Tcp


class Label:
    """A parameter taken from the first of these labels that the alert carries.

    default: where it carries none of them; without a default the incident is handed over.
    """

    def __init__(self, *names: str, default: str | None = None) -> None:
        self.names, self.default = names, default

    def value(self, labels: Mapping[str, str]) -> str | None:
        return next((labels[name] for name in self.names if labels.get(name)), self.default)


@dataclass(frozen=True)
class Within:
    """How long a verification may take, and how often it is asked meanwhile."""

    duration: str
    every: str = "30s"

    @property
    def limit(self) -> timedelta:
        return parse_duration(self.duration)

    @property
    def step(self) -> timedelta:
        return parse_duration(self.every)


@dataclass(frozen=True)
class Option:
    """One way out that the runbook offers.

    automatic: the responder may take it at P2 and P3; then the statements `name`, `name_before` and
    `name_verify` stand in the rule's SQL. changes: every table it may change, the main one first.
    max_rows: more changed rows, triggers and cascades included, and it is rolled back.
    run: a shell command for a person, where there is no statement. caution: what to know first.
    asks: what the person must say, by the name that the statements bind. role: who may run it.
    claims: functions of the target ask who calls, so it acts under the claims in the settings.
    transactional: False for what no transaction can hold; `name`, `name_check` (one row, whose
    `state` is done, not_done, half_done or at_work) and `name_cleanup` run over `direct_url`.
    in_window: only inside a maintenance window that is prepared. batch: each fix is one part of
    the whole; the rows are not kept, and then it is diagnosed anew, which offers the next part.
    undo: a person may take it back by `name_undo`, which restores rows that are still as the fix
    left them; volatile: columns that triggers keep, so that they need not be as they were.
    """

    name: str
    title: str
    automatic: bool = False
    changes: Sequence[str] = ()
    max_rows: int = 100
    cooldown: str = "30m"
    verify: Within = Within("10m")
    undo: bool = False
    caution: str = ""
    asks: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    role: str = "operator"
    dangerous: bool = False
    transactional: bool = True
    in_window: bool = False
    batch: bool = False
    volatile: Sequence[str] = ()
    outside: bool = False
    claims: bool = False

    @property
    def statements(self) -> tuple[str, str, str]:
        """The names of the statements that it needs, unless it is a command to run."""
        first, second = ("before", "verify") if self.transactional else ("check", "cleanup")
        return self.name, f"{self.name}_{first}", f"{self.name}_{second}"


@dataclass(frozen=True)
class Finding:
    """One named cause in one sentence.

    offers: names of options that would help, the best first; none: the cause is for people.
    look_again: the cause may go away by itself; ask again after this time, at most three times.
    """

    name: str
    summary: str
    offers: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    look_again: str = ""


@dataclass(frozen=True)
class Case:
    """What a rule concludes from; `case["roles"]` is the answer to the diagnostic of that name."""

    alert: Alert
    parameters: Mapping[str, str]
    at: datetime
    answers: Mapping[str, Answer]

    def __getitem__(self, diagnostic: str) -> Answer:
        return self.answers[diagnostic]


class Rule:
    """The answer to one kind of alert.

    The docstring's first line says what is wrong, and `Symptoms:` and `Prevention:` follow it.
    key: the labels that tell incidents of this rule apart; () is one incident a target;
    None takes all labels but severities and replicas.
    schedule: a cron, in UTC, at which the rule is asked of each target without anybody's alert;
    parameters that nobody tells then are missing from its case.
    """

    answers: ClassVar[Sequence[str]] = ()
    target: ClassVar[str] = ""
    key: ClassVar[Sequence[str] | None] = None
    parameters: ClassVar[Mapping[str, Label]] = {}
    diagnostics: ClassVar[Sequence[Diagnostic]] = ()
    options: ClassVar[Sequence[Option]] = ()
    schedule: ClassVar[str] = ""

    def conclude(self, case: Case) -> Iterable[Finding]:
        """The causes that the answers show, the gravest first; every rule has its own."""
        return ()
