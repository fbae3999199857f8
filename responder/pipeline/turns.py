"""A slow target must not take all slots of a worker: so many of its walks ask one target at a time.

While its diagnoses are quick, the next ones wait a moment for their turn. When all who ask have
been at it for long, the others put their walks off and leave the slots to other targets.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: Seconds after which a diagnosis is a slow one.
SLOW = 1.0


@dataclass
class _Place:
    """began: when each of those began who ask now; slow: the last to end took long."""

    began: list[float] = field(default_factory=list)
    slow: bool = False


class Turns:
    """The turns in this process; without numbers nobody ever waits.

    ordinary, urgent: how many ask one target at a time, where people can wait and at P0 and P1.
    """

    def __init__(self, ordinary: int = 1000, urgent: int = 1000) -> None:
        self._most = {False: ordinary, True: urgent}
        self._places: dict[tuple[str, bool], _Place] = defaultdict(_Place)
        self._changed = threading.Condition()

    @contextmanager
    def at(self, target: str, urgent: bool) -> Iterator[bool]:
        """A turn; False when whoever has one keeps it for long."""
        with self._changed:
            place = self._places[target, urgent]
            got = self._wait(place, self._most[urgent])
            began = time.monotonic()
            if got:
                place.began.append(began)
        try:
            yield got
        finally:
            if got:
                with self._changed:
                    place.began.remove(began)
                    place.slow = time.monotonic() - began > SLOW
                    self._changed.notify_all()

    def _wait(self, place: _Place, most: int) -> bool:
        while len(place.began) >= most:
            left = max(place.began) + SLOW - time.monotonic()
            if place.slow or left <= 0:
                return False
            self._changed.wait(left)
        return True
