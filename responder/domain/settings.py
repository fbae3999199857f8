"""What an operator configures, as frozen data; `responder.settings` reads it from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from responder.domain.decision import Autonomy
from responder.domain.matcher import Matcher
from responder.domain.secret import Secret
from responder.domain.severity import Severity


@dataclass(frozen=True)
class Source:
    """A configured sender; with several credentials any one of them opens the door."""

    name: str
    type: str
    bearer: Secret | None = None
    basic_user: str = ""
    basic_password: Secret | None = None
    severities: Mapping[str, Severity] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A system under care; an alert whose labels meet all matchers is about it.

    reading, writing: PostgreSQL URLs of the diagnosing and the fixing role.
    """

    name: str
    kind: str
    matches: Sequence[Matcher]
    reading: Secret
    writing: Secret | None = None
    http_base: str = ""
    http_paths: Sequence[str] = ()


@dataclass(frozen=True)
class Receiver:
    """Where messages go; `url` is a secret where it holds one (Slack), else plain."""

    name: str
    type: str
    url: str
    secret: Secret


@dataclass(frozen=True)
class Route:
    """Incidents that meet `matches` and one of `severities` go to `receivers`; `page` wakes."""

    receivers: Sequence[str]
    matches: Sequence[Matcher] = ()
    severities: Sequence[Severity] = tuple(Severity)
    page: bool = False


@dataclass(frozen=True)
class RuleSettings:
    """What the operator says about one rule: the ceiling of its autonomy."""

    autonomy: Autonomy | None = None


@dataclass(frozen=True)
class Settings:
    """The whole of responder.toml."""

    database: Secret
    token_keys: Secret
    runbook: str = ""
    public_url: str = "http://127.0.0.1:8000"
    autonomy: Autonomy = Autonomy.PROPOSE
    flap_window: timedelta = timedelta(minutes=10)
    reopen_after: timedelta = timedelta(minutes=30)
    resolve_after_quiet: timedelta | None = None
    max_body: int = 1_000_000
    sources: Mapping[str, Source] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    routes: Sequence[Route] = ()
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)
