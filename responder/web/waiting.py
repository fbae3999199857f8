"""Senders that wait for the answer: `Prefer: wait=N`, without a thread too many or a connection."""

import re
import threading
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from responder.domain.settings import Source
from responder.pipeline.document import document
from responder.pipeline.services import Services
from responder.store import StoreAway

#: Threads of a web process; a quarter of them may wait, the others acknowledge.
THREADS = 8
LONGEST = timedelta(seconds=30)
_LOOK_EVERY = 0.1
_PREFERENCE = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?=$|[,;])", re.I)


class Waiting:
    """The places of one process in which a sender may wait."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(THREADS // 4)

    def documents(
        self, services: Services, delivery: UUID, patience: timedelta
    ) -> list[dict[str, Any]] | None:
        """The incidents of a delivery as soon as they rest; None when that takes longer, or when
        all places are taken.
        """
        if not self._places.acquire(blocking=False):
            return None
        try:
            return _wait(services, delivery, time.monotonic() + patience.total_seconds())
        finally:
            self._places.release()


def _wait(services: Services, delivery: UUID, until: float) -> list[dict[str, Any]] | None:
    while True:
        try:
            with services.store.transaction() as tx:
                row = tx.one("delivery_rests", id=delivery)
                if row["rests"]:
                    found = [document(services, tx, each) for each in row["incidents"]]
                    return [each for each in found if each is not None]
        except StoreAway:
            return None  # it is committed all the same
        if time.monotonic() + _LOOK_EVERY > until:
            return None
        time.sleep(_LOOK_EVERY)


def patience(prefer: str, source: Source) -> timedelta | None:
    """How long this request may wait: what it prefers (RFC 7240), else what its source says."""
    preferred = _PREFERENCE.search(prefer)
    if preferred is None:
        return source.wait
    return min(timedelta(seconds=int(preferred[1])), LONGEST) or None
