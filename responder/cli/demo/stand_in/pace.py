"""A rate limit: so many calls in a sliding minute, for each key."""

import threading
from collections import deque
from collections.abc import Callable

MINUTE = 60


class Pace:
    """A call that is refused does not count, so waiting as long as told is enough."""

    def __init__(self, calls_a_minute: int, clock: Callable[[], float]) -> None:
        self.calls_a_minute = calls_a_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[str, deque[float]] = {}

    def wait(self, key: str) -> int:
        """Whole seconds until the next call is taken; 0 takes this one."""
        now = self._clock()
        with self._lock:
            calls = self._of(key, now)
            if len(calls) < self.calls_a_minute:
                calls.append(now)
                return 0
            return max(int(calls[0] + MINUTE - now) + 1, 1)

    def left(self, key: str) -> int:
        with self._lock:
            return self.calls_a_minute - len(self._of(key, self._clock()))

    def _of(self, key: str, now: float) -> deque[float]:
        calls = self._calls.setdefault(key, deque())
        while calls and calls[0] <= now - MINUTE:
            calls.popleft()
        return calls
