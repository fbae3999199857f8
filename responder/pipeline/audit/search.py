"""Events that people look for: by whom, about what, when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from responder.store import Transaction


@dataclass(frozen=True)
class Search:
    """None: whatever it is. rule, target: of the event's incident."""

    actor: str | None = None
    what: str | None = None
    subject: str | None = None
    incident: UUID | None = None
    rule: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def orders_by(self) -> str:
        """The column that orders the events beside their id, for the cursor of a list."""
        return "filed_at" if self.rule or self.target else "at"


def find_events(
    tx: Transaction,
    search: Search,
    limit: int,
    before: datetime | None = None,
    before_id: UUID | None = None,
) -> list[dict[str, Any]]:
    """The newest events; with a rule or a target those of the newest incident first.

    before, before_id: `search.orders_by` and id of the last event of the page before.
    """
    by_incident = search.orders_by == "filed_at"
    asked: Mapping[str, Any] = vars(search)
    filters = {name: asked[name] for name in asked if by_incident or name not in ("rule", "target")}
    query = "audit_events_of_incidents" if by_incident else "audit_events"
    return tx.all(query, **filters, limit=limit, before=before, before_id=before_id)
