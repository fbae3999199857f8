"""What an operator configures, as frozen data; `responder.settings` reads it from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from re import Pattern

from responder.domain.decision import Autonomy
from responder.domain.hours import Hours
from responder.domain.matcher import Matcher
from responder.domain.redaction import SECRETS, Redaction
from responder.domain.review import ReviewSettings
from responder.domain.secret import Secret
from responder.domain.severity import Severity


@dataclass(frozen=True)
class Fields:
    """Where a generic sender's JSON says what: JSON pointers (RFC 6901).

    Of several pointers the first that says something counts; `fingerprint` and `id` join all.
    alerts: the list of alerts; the other pointers begin at one element of it, those of `id` (of
    the delivery) at the top.
    resolved, firing, ignored: words of `status`, in lower case; with `firing` any other word is
    not understood, without it any other word fires.
    """

    alerts: str = ""
    id: Sequence[str] = ()
    name: Sequence[str] = ()
    title: Sequence[str] = ()
    status: Sequence[str] = ()
    severity: Sequence[str] = ()
    service: Sequence[str] = ()
    fingerprint: Sequence[str] = ()
    starts_at: Sequence[str] = ()
    ends_at: Sequence[str] = ()
    link: Sequence[str] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    resolved: Sequence[str] = ()
    firing: Sequence[str] = ()
    ignored: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """A configured sender; what is configured of signature and credential must be right.

    bearer, basic: any live one of both opens the door. secret: what the sender signs with;
    timestamp_header: then the timestamp is signed too, and required. token, url: the sender's own
    API. title_pattern: its named groups become labels. per_minute: deliveries over all hosts.
    """

    name: str
    type: str
    bearer: Secret | None = None
    basic_user: str = ""
    basic_password: Secret | None = None
    secret: Secret | None = None
    signature_header: str = ""
    timestamp_header: str = ""
    title_pattern: Pattern[str] | None = None
    token: Secret | None = None
    url: str = ""
    fields: Fields = Fields()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    wait: timedelta | None = None
    per_minute: int | None = None


@dataclass(frozen=True)
class Target:
    """A system under care; an alert whose labels meet all matchers is about it.

    reading, writing: PostgreSQL URLs of the diagnosing and the fixing role. direct_url: of a role
    that may do what cannot run in a transaction, around any pooler. claims: as whom options act
    that need somebody known to the target, as a JWT would say it: {"sub": "<an admin's id>"}.
    accepts: what its roles may do beyond their needs, as `check` names it, and why that is right.
    redact: what its rows and its words lose before anybody sees them.
    """

    name: str
    kind: str
    matches: Sequence[Matcher]
    reading: Secret
    writing: Secret | None = None
    direct_url: Secret | None = None
    http_base: str = ""
    http_paths: Sequence[str] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    accepts: Mapping[str, str] = field(default_factory=dict)
    redact: Redaction = SECRETS


@dataclass(frozen=True)
class Receiver:
    """Where messages go; `url` is plain, a URL that holds a secret (Slack's) is in `secret`.

    per_minute: messages; fallback: the receiver that is woken when this one does not take a page.
    escalates: it has an escalation policy of its own, so it is told of an incident once.
    user, sender, to, security: of e-mail; `sender` also says who writes PagerDuty's notes.
    """

    name: str
    type: str
    url: str = ""
    secret: Secret | None = None
    per_minute: int = 20
    fallback: str = ""
    escalates: bool = False
    user: str = ""
    sender: str = ""
    to: Sequence[str] = ()
    security: str = ""


@dataclass(frozen=True)
class Route:
    """Incidents that meet `matches` and one of `severities` go to `receivers`; `page` wakes."""

    receivers: Sequence[str]
    matches: Sequence[Matcher] = ()
    severities: Sequence[Severity] = tuple(Severity)
    page: bool = False


@dataclass(frozen=True)
class Contact:
    """A person or team beyond on-call; `title` is what people read.

    hours: None is day and night. rules: of whose incidents they hear together with on-call.
    """

    name: str
    title: str
    receivers: Sequence[str]
    hours: Hours | None = None
    rules: Sequence[str] = ()


@dataclass(frozen=True)
class Level:
    """A rung of the escalation path: who is told of incidents of `severities` that nobody takes."""

    level: int
    receivers: Sequence[str] = ()
    contacts: Sequence[str] = ()
    severities: Sequence[Severity] = tuple(Severity)


@dataclass(frozen=True)
class AckFor:
    """For how long an acknowledgement holds without a note or a fix; below P1 it does not end."""

    P0: timedelta = timedelta(minutes=30)
    P1: timedelta = timedelta(hours=2)

    def of(self, severity: Severity) -> timedelta | None:
        return {Severity.P0: self.P0, Severity.P1: self.P1}.get(severity)


@dataclass(frozen=True)
class RuleSettings:
    """What the operator says about one rule: the ceiling of its autonomy."""

    autonomy: Autonomy | None = None


class Expect(StrEnum):
    """Which answer to its question ticks an item: any, one without rows, one with rows."""

    ANSWER = "answer"
    NO_ROWS = "no_rows"
    ROWS = "rows"


@dataclass(frozen=True)
class Item:
    """One line of a checklist; check: `<rule>.<diagnostic>` that answers it by itself.

    target: of whom that is asked; "": the only one of the rule's kind.
    """

    item: str
    check: str = ""
    target: str = ""
    expect: Expect = Expect.ANSWER


@dataclass(frozen=True)
class RecurringWindow:
    """A maintenance window that comes again: `rrule` from `starts` on, on `zone`'s wall clock.

    A switch that is False is off while an occurrence is in force. before: ticked, or it is not in
    force; after: ticked, or it is not finished. watch: how long it is watched afterwards.
    """

    name: str
    reason: str
    starts: datetime
    rrule: str
    duration: timedelta
    matches: Sequence[Matcher]
    zone: str = "UTC"
    page: bool = True
    diagnose: bool = True
    fix: bool = False
    before: Sequence[Item] = ()
    after: Sequence[Item] = ()
    watch: timedelta = timedelta(hours=1)


#: Types of receivers that only know incidents.
OF_INCIDENTS = ("pagerduty", "pagerduty_notes")


@dataclass(frozen=True)
class DeadMan:
    """Somebody else's clock that alarms when we stay silent; `url` is pinged when all is well."""

    url: Secret
    every: timedelta = timedelta(minutes=1)


_VAULT_KEY = Secret(("file:responder-vault.key",))


@dataclass(frozen=True)
class VaultSettings:
    """keys: the first encrypts, all open; for how long raw bodies and exact rows are kept."""

    keys: Secret = _VAULT_KEY
    raw_days: int = 14
    undo_hours: int = 72

    @property
    def raw_for(self) -> timedelta:
        return timedelta(days=self.raw_days)

    @property
    def undo_for(self) -> timedelta:
        return timedelta(hours=self.undo_hours)


@dataclass(frozen=True)
class Retention:
    """How long what is over is kept. audit: also alerts and incidents; None: for ever."""

    deliveries: timedelta = timedelta(days=30)
    audit: timedelta | None = None


@dataclass(frozen=True)
class Issuer:
    """Who vouches for people by signed tokens: an OpenID provider, or a project of Supabase.

    url: as its tokens write `iss`. role_claim, name_claim: JSON pointers into a token's claims.
    roles: the values of the role claim that give each role. jwks_url: where its keys are; empty
    is where its discovery says.
    """

    name: str
    type: str
    url: str
    audience: str
    role_claim: str
    roles: Mapping[str, Sequence[str]]
    name_claim: str
    jwks_url: str = ""


@dataclass(frozen=True)
class Login:
    """How people log in to the console: by a token, and at `issuer`, if there is one.

    idle, longest: a session ends when it was unused for so long, and after so long in any case.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    idle: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(hours=12)


@dataclass(frozen=True)
class SealSettings:
    """Seals over the audit: the keys that sign them, where their copies go, how often."""

    key: Secret
    copy_to: Sequence[str] = ()
    every: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class Settings:
    """The whole of responder.toml.

    last_resort: receivers of pages when our database is away; None: those that would page.
    proxies: how many in front of us append to X-Forwarded-For.
    digest: who gets the morning digest; None: whoever hears of incidents without being woken.
    business_hours: of contacts that keep them, and of what waits for the next business day.
    """

    database: Secret
    token_keys: Secret
    runbook: str = ""
    public_url: str = "http://127.0.0.1:8000"
    autonomy: Autonomy = Autonomy.PROPOSE
    flap_window: timedelta = timedelta(minutes=10)
    reopen_after: timedelta = timedelta(minutes=30)
    resolve_after_quiet: timedelta | None = None
    max_body: int = 1_000_000
    proxies: int = 0
    sources: Mapping[str, Source] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    routes: Sequence[Route] = ()
    contacts: Mapping[str, Contact] = field(default_factory=dict)
    levels: Sequence[Level] = ()
    business_hours: Hours = field(default_factory=Hours)
    ack_for: AckFor = AckFor()
    windows: Sequence[RecurringWindow] = ()
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)
    last_resort: Sequence[str] | None = None
    digest: Sequence[str] | None = None
    review: ReviewSettings = field(default_factory=ReviewSettings)
    dead_man: DeadMan | None = None
    retention: Retention = Retention()
    vault: VaultSettings = VaultSettings()
    redact: Redaction = SECRETS
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    login: Login = Login()
    seal: SealSettings | None = None
