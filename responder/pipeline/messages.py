"""One message to one receiver is a row with a due time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from responder.domain.notification import Happening
from responder.store import Transaction


def message(
    message_id: UUID,
    key: str,
    receiver: str,
    happening: Happening,
    due_at: datetime,
    page: bool = False,
    incident_id: UUID | None = None,
    document: Mapping[str, Any] | None = None,
    round: int = 0,
    beyond: bool = False,
) -> dict[str, Any]:
    """A row. document: what is told where there is no incident, whose own is read when it is sent.

    round: of the pager's key; beyond: a page after the first, for nobody once it is taken.
    """
    return {
        "id": message_id,
        "key": key,
        "receiver": receiver,
        "happening": happening,
        "due_at": due_at,
        "page": page,
        "incident_id": incident_id,
        "document": document or {},
        "round": round,
        "beyond": beyond,
    }


def write_message(tx: Transaction, *told: Any, **more: Any) -> None:
    """One `message`."""
    tx.together("insert_notifications", [message(*told, **more)])
