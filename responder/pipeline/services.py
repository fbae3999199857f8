"""What every stage may use; made once in each process by `responder.app`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from responder.domain.actor import RESPONDER, Actor
from responder.domain.ids import new_id
from responder.domain.incident import Incident
from responder.domain.secret import Secret
from responder.domain.settings import Settings
from responder.pipeline.keep import Keep
from responder.pipeline.mail import Mail
from responder.pipeline.turns import Turns
from responder.receivers import Receiver
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule
from responder.store import Store, Transaction
from responder.store.bell import Bell
from responder.store.incidents import step
from responder.store.slots import Slots
from responder.store.vault import Vault


@dataclass(frozen=True)
class Services:
    """settings, rules, our database, the bell that wakes workers, the slots of targets, what is
    encrypted, the receivers by name, the log."""

    settings: Settings
    catalogue: Catalogue
    store: Store
    bell: Bell
    slots: Slots
    vault: Vault
    receivers: Mapping[str, Receiver]
    log: Any  # a structlog logger
    new_id: Callable[[], UUID] = new_id
    keep: Keep = field(default_factory=Keep)
    mail: Mail = field(default_factory=Mail)
    turns: Turns = field(default_factory=Turns)
    #: By their keys in responder.toml.
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    lifeline_store: Store | None = None
    #: In which minute this process told of a refusal last.
    refused: dict[tuple[str, ...], datetime] = field(default_factory=dict)

    @property
    def lifeline(self) -> Store:
        """Our database over a connection that no load can take away."""
        return self.lifeline_store or self.store

    def rule_of(self, incident: Incident) -> LoadedRule | None:
        """The rule as it is loaded now; None when none answers or it is gone."""
        return self.catalogue.rules.get(incident.rule) if incident.rule else None


def record(
    tx: Transaction,
    incident: Incident,
    what: str,
    actor: Actor = RESPONDER,
    before: str | None = None,
    after: str | None = None,
    **details: Any,
) -> None:
    """One audit event about an incident, filed at its opening."""
    tx.record(
        what,
        actor,
        subject=f"incident {incident.id}",
        incident_id=incident.id,
        before=before,
        after=after,
        filed_at=incident.opened_at,
        **details,
    )


def move(
    tx: Transaction,
    incident: Incident,
    query: str,
    details: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> Incident:
    """A fenced step of a walk, with its audit event when the stage changes. Fenced."""
    after = step(tx, query, incident, **parameters)
    if after.stage != incident.stage:
        record(tx, after, "stage", before=incident.stage, after=after.stage, **(details or {}))
    return after


def iso(moment: datetime | None) -> str | None:
    """A time as documents carry it."""
    return moment.isoformat() if moment else None
