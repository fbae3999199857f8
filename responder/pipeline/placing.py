"""Where firing alerts go: into the incident of their condition, of their key, or a new one.

One transaction places many. All incidents that they may touch are locked first, in the order of
their keys, and new ones are inserted in that order too, so that nobody deadlocks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.alert import Alert, AlertOutcome
from responder.domain.incident import Incident, IncidentStatus, ResolvedBy, Stage
from responder.pipeline.notify import page, tell_opened
from responder.pipeline.services import Services, record
from responder.pipeline.unanswered import hand_over, is_unanswered
from responder.pipeline.walking import enqueue_walks, nudge, reopen
from responder.runbook.catalogue import Identity
from responder.store import Transaction
from responder.store.incidents import incident_from_row

#: A condition: source and fingerprint.
Known = tuple[str, str]


@dataclass(frozen=True)
class Firing:
    """An alert that fires, of which condition, who told it, and when its page is due."""

    alert: Alert
    identity: Identity
    condition: Known
    actor: Actor
    page_due_at: datetime


class Overtaken(Exception):
    """Another transaction opened the same key this moment; begin again, and it is seen."""


class Placing:
    """The incidents that this transaction has locked, as they become.

    Call `lock`, `open`, then `place` for each in the same order, and `finish`.
    """

    def __init__(self, services: Services, tx: Transaction) -> None:
        self._services = services
        self._tx = tx
        self._incidents: dict[UUID, Incident] = {}
        self._of_key: dict[str, UUID] = {}  # the one that is open, else the newest
        self._inserted: dict[str, Incident] = {}
        self._opened: list[Incident] = []
        self._seen: set[UUID] = set()

    def lock(self, keys: Iterable[str], ids: Iterable[UUID | None]) -> None:
        """The incidents with these ids, and those of these keys."""
        rows = self._tx.all(
            "lock_incidents",
            keys=tuple(sorted(set(keys))),
            ids=tuple(sorted({each for each in ids if each is not None})),
        )
        for row in rows:  # the open one of a key comes last
            self._keep(incident_from_row(row))

    def _keep(self, incident: Incident) -> Incident:
        self._incidents[incident.id] = incident
        self._of_key[incident.key] = incident.id
        return incident

    def is_open(self, current: UUID | None, key: str) -> bool:
        """Whether an alert of this condition and key has an incident that goes on."""
        known = (self._incidents.get(current) if current else None, self._last(key))
        return any(each is not None and each.status != IncidentStatus.RESOLVED for each in known)

    def _last(self, key: str) -> Incident | None:
        found = self._of_key.get(key)
        return self._incidents[found] if found else None

    def _standing(self, key: str, current: UUID | None) -> tuple[AlertOutcome, Incident | None]:
        """What becomes of a firing alert, and in which incident; None: a new one."""
        own = self._incidents[current] if current else None
        if own is not None and own.status != IncidentStatus.RESOLVED:
            return AlertOutcome.JOINED, own
        last = self._last(key)
        if last is None:
            return AlertOutcome.OPENED, None
        if last.resolved_at is None:
            return AlertOutcome.JOINED, last
        ago, settings = self._tx.now - last.resolved_at, self._services.settings
        if last.resolved_by == ResolvedBy.PERSON and ago < settings.reopen_after:
            return AlertOutcome.SUPPRESSED, last
        if last.resolved_by != ResolvedBy.PERSON and ago < settings.flap_window:
            return AlertOutcome.JOINED, last
        return AlertOutcome.OPENED, None

    def open(self, firing: Sequence[Firing], currents: Mapping[Known, UUID | None]) -> None:
        """Insert what will be opened when these are placed, all in one statement. Overtaken."""
        wanted: dict[str, Firing] = {}
        placed: set[Known] = set()
        for each in firing:
            key = each.identity.key
            if each.condition in placed or key in wanted:
                placed.add(each.condition)
                continue
            outcome, _ = self._standing(key, currents.get(each.condition))
            if outcome == AlertOutcome.OPENED:
                wanted[key] = each
            if outcome != AlertOutcome.SUPPRESSED:
                placed.add(each.condition)
        if not wanted:
            return
        rows = [self._row(wanted[key]) for key in sorted(wanted)]
        for row in self._tx.all("insert_incidents", incidents=rows):
            incident = incident_from_row(row)
            self._inserted[incident.key] = incident
        if len(self._inserted) < len(wanted):
            raise Overtaken

    def _row(self, firing: Firing) -> dict[str, Any]:
        alert, identity = firing.alert, firing.identity
        unanswered = is_unanswered(alert, identity)
        rule = self._services.catalogue.rules.get(identity.rule or "")
        return {
            "id": str(self._services.new_id()),
            "key": identity.key,
            "title": alert.title,
            "source": alert.source,
            "rule": identity.rule,
            "rule_checksum": rule.checksum if rule else None,
            "target": identity.target,
            "parameters": dict(identity.parameters),
            "labels": dict(alert.labels),
            "stage": Stage.WATCH if unanswered else Stage.DIAGNOSE,
            "walking": not unanswered,
            "decision_id": str(self._services.new_id()) if unanswered else None,
            "severity": identity.severity,
            "declared_severity": alert.severity,
            "severity_unreadable": alert.severity_unreadable,
            "trouble": identity.trouble or "",
            "trouble_detail": identity.detail,
        }

    def place(self, firing: Firing, current: UUID | None) -> tuple[AlertOutcome, Incident]:
        """The incident of a firing alert, and what became of the alert."""
        outcome, incident = self._standing(firing.identity.key, current)
        if incident is None:
            return outcome, self._keep(self._open(firing))
        if outcome == AlertOutcome.SUPPRESSED:
            self._suppress(firing, incident)
            return outcome, incident
        if incident.status == IncidentStatus.RESOLVED:
            why = "it fires again"  # shortly after the end: the same incident goes on
            incident = reopen(self._services, self._tx, incident, firing.actor, why)
            return outcome, self._keep(self._join(firing, incident, again=True))
        return outcome, self._keep(self._join(firing, incident))

    def _open(self, firing: Firing) -> Incident:
        identity = firing.identity
        incident = self._inserted.pop(identity.key)
        self._opened.append(incident)
        record(
            self._tx,
            incident,
            "opened",
            firing.actor,
            after=incident.status,
            severity=incident.severity,
            declared=firing.alert.severity_word,
            rule=identity.rule,
            target=identity.target,
            key=incident.key,
            matched=identity.matched,
        )
        if identity.matched > 1:
            self._services.log.warning(
                "more than one rule answers", incident=str(incident.id), rule=identity.rule
            )
        if incident.severity.pages or incident.severity_unreadable:
            page(self._services, self._tx, incident, firing.page_due_at, "opened")
        return incident

    def _join(self, firing: Firing, incident: Incident, again: bool = False) -> Incident:
        """It acts only when it raises the severity or, with `again`, when it reopened."""
        alert, identity = firing.alert, firing.identity
        unreadable = alert.severity_unreadable and not incident.severity_unreadable
        raised = identity.severity < incident.severity
        graver = alert.severity is not None and (
            incident.declared_severity is None or alert.severity < incident.declared_severity
        )
        if not (unreadable or raised or graver or again):
            self._seen.add(incident.id)
            return incident
        row = self._tx.one(
            "joined",
            id=incident.id,
            severity=identity.severity,
            declared_severity=alert.severity,
            severity_unreadable=alert.severity_unreadable,
        )
        joined = incident_from_row(row)
        told = {"declared": alert.severity_word}
        if raised:
            told |= {"before": incident.severity, "after": joined.severity}
            record(self._tx, joined, "severity", firing.actor, **told)
        if unreadable:
            record(self._tx, joined, "severity", firing.actor, declared=alert.severity_word)
        if unreadable or (joined.severity.pages and (raised or again)):
            why = "it fires again" if again else "the severity rose or cannot be read"
            others = incident.severity.pages and not again
            page(self._services, self._tx, joined, firing.page_due_at, why, raised, others)
        return nudge(self._tx, joined) if raised or unreadable or again else joined

    def _suppress(self, firing: Firing, incident: Incident) -> None:
        """A person closed it a short while ago; if it still fires after that time it goes on."""
        assert incident.resolved_at is not None
        due = incident.resolved_at + self._services.settings.reopen_after
        self._tx.run("set_timer", id=incident.id, what="reopen", due_at=due)
        record(self._tx, incident, "suppressed", firing.actor, until=due.isoformat())

    def finish(self) -> None:
        """All together: people have it or walks begin, others are told, what joined was seen."""
        if self._seen:
            self._tx.run("seen_again", ids=tuple(sorted(self._seen)))
        handed_over = [each for each in self._opened if not each.walking]
        hand_over(self._services, self._tx, handed_over)
        now = [self._incidents[each.id] for each in self._opened]
        tell_opened(self._services, self._tx, now)
        walked = {each.id for each in self._opened if each.walking}
        enqueue_walks(self._tx, [each for each in now if each.id in walked])
