"""The incident document (docs/api.md), as `pipeline/document.py` makes it."""

from marshmallow import fields

from responder.domain.actor import ROLES, ActorKind
from responder.domain.alert import AlertOutcome, AlertStatus
from responder.domain.answer import AnswerStatus, ErrorKind
from responder.domain.decision import Action, Reason
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import IncidentStatus, ResolvedBy, Stage
from responder.domain.notification import Happening, NotificationStatus
from responder.domain.review import Picked, Verdict
from responder.domain.severity import Severity
from responder.web.api.schemas import (
    Answer,
    anything_by_name,
    integer,
    many,
    moment,
    string,
    strings,
    strings_by_name,
)


class Incident(Answer):
    """The incident alone, as lists show it."""

    id = fields.UUID(required=True)
    title = string()
    status = string(of=IncidentStatus)
    stage = string(of=Stage)
    severity = string(of=Severity, told="The most severe of what is declared and the rule's own.")
    declared_severity = string(of=Severity, null=True)
    severity_unreadable = fields.Boolean(required=True)
    key = string()
    dedup_key = string(told="The pager's key, fixed for ever.")
    source = string()
    rule = string(null=True)
    rule_checksum = string(null=True)
    target = string(null=True)
    parameters = anything_by_name()
    labels = strings_by_name()
    opened_at = moment()
    acknowledged_at = moment(null=True)
    acknowledged_by = string(null=True)
    resolved_at = moment(null=True)
    resolved_by = string(of=ResolvedBy, null=True)
    paged_at = moment(null=True)


class IncidentAlert(Answer):
    name = string(null=True)
    source = string()
    type = string(null=True, told="The kind of sender; null: it is not configured any more.")
    status = string(of=AlertStatus, null=True)
    outcome = string(of=AlertOutcome)
    fingerprint = string(null=True)
    received_at = moment()
    title = string(null=True)
    labels = strings_by_name()
    annotations = strings_by_name()
    starts_at = moment(null=True)
    ends_at = moment(null=True)
    severity_word = string(null=True)
    links = strings_by_name()


class AnswerError(Answer):
    kind = string(of=ErrorKind)
    code = string(told="SQLSTATE or HTTP status, or empty.")
    message = string()


class DiagnosticAnswer(Answer):
    """One question to a target, and what came back."""

    name = string()
    question = string()
    target = string()
    status = string(of=AnswerStatus)
    asked_at = moment()
    ms = fields.Float(required=True)
    shared = fields.Boolean(
        required=True, metadata={"description": "Asked by another incident seconds before."}
    )
    rows = fields.List(anything_by_name(), required=True)
    row_count = fields.Integer(required=True)
    truncated = fields.Boolean(required=True)
    error = fields.Nested(AnswerError, required=True, allow_none=True)
    sql = string()
    parameters = anything_by_name()


class Finding(Answer):
    """One named cause, with the rows that show it."""

    name = string()
    summary = string()
    rows = fields.List(anything_by_name(), required=True)
    offers = strings()


class Decision(Answer):
    """What the responder does with the incident, with the one reason why."""

    id = fields.UUID(required=True)
    at = moment()
    action = string(of=Action)
    reason = string(of=Reason)
    sentence = string()
    finding = string(null=True)
    option = string(null=True)


class FixActor(Answer):
    kind = string(of=ActorKind)
    name = string()


class Fix(Answer):
    """One execution of an option, by the responder or a person."""

    id = fields.UUID(required=True)
    option = string()
    actor = fields.Nested(FixActor, required=True)
    severity = string(of=Severity)
    dry_run = fields.Boolean(
        required=True, metadata={"description": "It was made and taken back, to see what it does."}
    )
    undoes = fields.UUID(
        required=True, allow_none=True, metadata={"description": "The fix that it takes back."}
    )
    status = string(of=FixStatus)
    reason = string()
    counts = anything_by_name()
    before = fields.List(anything_by_name(), required=True)
    after = fields.List(anything_by_name(), required=True)
    left = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Ids of rows that an undo left: changed since the fix, or gone."},
    )
    verification = string(of=Verification, null=True)
    started_at = moment()
    ended_at = moment(null=True)
    verified_at = moment(null=True)


class Breaker(Answer):
    """What counts against the fixes of the incident's key since a person reset it."""

    open = fields.Boolean(required=True)
    failed_fixes = integer(told="Fixes that did not hold.")
    unknown_fixes = integer(told="Fixes of which nobody knows whether they were made.")
    undone_fixes = integer(told="Fixes that a person took back.")
    sentence = string(told="How it is reset; empty while it is closed.")


class Approval(Answer):
    """One person has approved a dangerous option; another one must approve the very same."""

    id = fields.UUID(required=True)
    incident = fields.UUID(required=True)
    option = string()
    parameters = strings_by_name()
    seen = fields.UUID(required=True, metadata={"description": "The decision that they looked at."})
    actor = string()
    at = moment()
    expires_at = moment()


class OfferedOption(Answer):
    """One way out that the runbook offers."""

    name = string()
    title = string()
    automatic = fields.Boolean(required=True)
    offered = fields.Boolean(required=True)
    caution = string()
    asks = strings_by_name()
    role = string(of=ROLES, told="Who may run it.")
    dangerous = fields.Boolean(
        required=True, metadata={"description": "Two different people must approve it."}
    )
    run = string(told="A command for a person, where there is no statement.")
    allowed = fields.Boolean(required=True)
    why_not = string(null=True)


class Escalation(Answer):
    """How far it was climbed; level 1 is the responder itself."""

    level = fields.Integer(required=True)
    next_at = moment(null=True)
    contacts = strings()
    sentence = string(told="Who was told, and who could not be.")


class AroundMaintenance(Answer):
    """The maintenance in which the incident began, or shortly after which it did."""

    id = fields.UUID(required=True)
    name = string(null=True)
    reason = string()
    starts_at = moment()
    ends_at = moment()
    during = fields.Boolean(required=True)


class Note(Answer):
    """What somebody wrote."""

    at = moment()
    actor = string()
    text = string()


class Review(Answer):
    """An engineer's verdict on what the responder did, or that one is waited for."""

    waiting = fields.Boolean(required=True)
    picked = string(
        of=Picked, null=True, told="Why it is asked for; null: said without being asked."
    )
    due_at = moment(null=True)
    verdict = string(of=Verdict, null=True)
    note = string()
    actor = string(null=True)
    at = moment(null=True)
    own = fields.Boolean(
        required=True, metadata={"description": "By somebody who ran a fix of it themselves."}
    )
    took_back = fields.Boolean(
        required=True,
        metadata={"description": "It was harmful, and the rule's version proposes again."},
    )


class Notification(Answer):
    """One message to one receiver."""

    receiver = string()
    happening = string(of=Happening)
    page = fields.Boolean(required=True)
    status = string(of=NotificationStatus)
    due_at = moment()
    sent_at = moment(null=True)
    attempts = fields.Integer(required=True)
    error = string()


class Links(Answer):
    self = string()
    console = string()
    runbook = string(null=True)
    dashboard = string(null=True)
    panel = string(null=True)
    silence = string(null=True)
    source = string(null=True)


class IncidentDocument(Answer):
    """Everything that is known of an incident; the same JSON is answered, forwarded and shown."""

    version = fields.Integer(required=True)
    updates = fields.Integer(required=True)
    incident = fields.Nested(Incident, required=True)
    alerts = many(IncidentAlert)
    diagnosis = many(DiagnosticAnswer)
    findings = many(Finding)
    decision = fields.Nested(Decision, required=True, allow_none=True)
    fixes = many(Fix)
    breaker = fields.Nested(Breaker, required=True)
    approvals = many(Approval)
    options = many(OfferedOption)
    escalation = fields.Nested(Escalation, required=True)
    maintenance = fields.Nested(AroundMaintenance, required=True, allow_none=True)
    notes = many(Note)
    review = fields.Nested(Review, required=True, allow_none=True)
    notifications = many(Notification)
    links = fields.Nested(Links, required=True)


class AuditEvent(Answer):
    """One recorded fact: who, what, from, to, details, code version."""

    id = fields.UUID(required=True)
    at = moment()
    actor_kind = string(of=ActorKind)
    actor = string()
    what = string()
    subject = string()
    before = string(null=True)
    after = string(null=True)
    details = anything_by_name()
    code_version = string()
