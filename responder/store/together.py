"""Rows that many threads hand in at once: one of them commits all that wait, in one statement.

A commit costs nearly the same for one row and for fifty. Who comes while nobody commits does so at
once, alone; who comes meanwhile waits for that, and then one of those who wait commits for all.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: In one statement, which must end long before it is cut; heaviest: of all its rows, in bytes.
MOST, HEAVIEST = 50, 4_000_000

Row = Mapping[str, Any]


@dataclass
class _Entry:
    """A row and the thread that waits for it: until its turn, when all is over or it is to lead.

    alone: it is not committed, since one of those that were tried together was wrong.
    """

    row: Row
    weight: int
    turn: threading.Lock = field(default_factory=threading.Lock)
    over: bool = False
    alone: bool = True
    lost: Exception | None = None


class Together:
    """Commits with `commit`, which gets the rows.

    lost: what `commit` raises when nobody knows what became of them; those are not tried again.
    """

    def __init__(self, commit: Callable[[Sequence[Row]], None], lost: type[Exception]) -> None:
        self._commit = commit
        self._lost = lost
        self._lock = threading.Lock()
        self._waiting: list[_Entry] = []
        self._led = False

    def insert(self, row: Row, weight: int) -> None:
        """Returns when the row is committed; raises what `commit` does on it, and on it alone."""
        own = _Entry(row, weight)
        own.turn.acquire()
        with self._lock:
            self._waiting.append(own)
            leads, self._led = not self._led, True
        if not leads:
            own.turn.acquire()
        if not own.over:
            self._lead()
        if own.lost is not None:
            raise type(own.lost)(*own.lost.args) from own.lost
        if own.alone:
            self._commit([row])

    def _lead(self) -> None:
        """Commit what waits, of which the first is one's own; then the next one leads."""
        batch = self._taken(MOST)
        try:
            self._commit([each.row for each in batch])
        except self._lost as error:  # who waits would only wait as long, in vain
            batch += self._taken(None)
            for each in batch:
                each.lost = error
        except Exception:  # one of them is wrong: each is told apart
            if len(batch) == 1:
                raise
        else:
            for each in batch:
                each.alone = False
        finally:
            self._pass_on(batch)

    def _taken(self, most: int | None) -> list[_Entry]:
        """So many that wait, at least one of them; None: all."""
        with self._lock:
            count, weight = 0, 0
            for each in self._waiting[:most]:
                weight += each.weight
                if most is not None and count and weight > HEAVIEST:
                    break
                count += 1
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _pass_on(self, batch: Sequence[_Entry]) -> None:
        for each in batch:
            each.over = True
            each.turn.release()
        with self._lock:
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.release()
