"""What came in, each with the time at which it came."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

#: So many of each kind, the newest.
MAX_KEPT = 5_000
#: `refused` by the receiver's own limits, `failed` on demand, `redirected` followed a redirect.
KINDS = (
    "pagerduty",
    "notes",
    "webhook",
    "slack",
    "mail",
    "pings",
    "refused",
    "failed",
    "redirected",
)


class Kept:
    """Filled by many threads at once; clock: seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, deque[dict[str, Any]]] = {
            kind: deque(maxlen=MAX_KEPT) for kind in KINDS
        }

    def now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat()

    def keep(self, kind: str, **what: Any) -> None:
        with self._lock:
            self._kept[kind].append({"at": self.now(), **what})

    def all(self) -> dict[str, list[dict[str, Any]]]:
        with self._lock:
            return {kind: list(kept) for kind, kept in self._kept.items()}

    def clear(self) -> None:
        with self._lock:
            for kept in self._kept.values():
                kept.clear()
