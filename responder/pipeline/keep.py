"""What this process has taken in and must not be silent about, should our database be.

A P0 or P1 is held here from the moment it is understood until its page has left, for a minute at
most. `responder.pipeline.bare` asks for it and sends the bare page to the last resort.
"""

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from responder.domain.alert import Alert
from responder.runbook.catalogue import Identity

#: Seconds after which a page should have left, had our database been there.
DUE_AFTER = 1.1
#: Seconds after that in which our database may still see to it, if it fails now and then.
OWED = 1.0
#: Seconds after which nothing is held any more.
HELD_FOR = 60.0
#: Seconds after a silence in which ordinary pages wait, so that our database is told first what
#: left without it; and how soon they may wait again.
HUSH = 1.5
HUSH_AGAIN = 2.0
#: Seconds in which one key leaves this host barely once.
ONCE_IN = 300.0
#: A file's time may be ahead of ours by so much, as the kernel rounds it.
_SKEW = 1.0
#: How the file of a key is called that has left from this host.
_MARK = "bare-"


@dataclass(frozen=True)
class Page:
    """One alert that wakes people. at: this host's clock; our database's is what may be away."""

    alert: Alert
    identity: Identity
    at: datetime


@dataclass
class Hold:
    """The pages of one delivery; `delivery` is set when it is committed, `lost` when it is not.

    written: our database has rows of them, whenever the delivery's turn comes.
    """

    pages: Sequence[Page]
    due: float
    until: float
    delivery: UUID | None = None
    lost: bool = False
    written: bool = False


@dataclass
class Bare:
    """One bare page to one receiver, until it has left or its time is over.

    refused: its receiver would not take it, for good; the others go before it.
    """

    page: Page
    receiver: str
    until: float
    refused: bool = False


@dataclass(frozen=True)
class Rest:
    """A receiver that failed so many times in a row is left alone until then."""

    failures: int
    until: float


@dataclass(frozen=True)
class Sent:
    """A bare page that left, of which our database does not know yet."""

    id: UUID
    page: Page
    receiver: str
    document: Mapping[str, Any]

    @property
    def key(self) -> str:
        return self.page.identity.key


@dataclass
class Keep:
    """Of one process; `folder` is shared by those of one host, so that each key leaves once.

    waiting: bare pages that are to leave; sent: what our database must be told; sent_at: when
    messages left, by receiver; rests: receivers that failed; all belong to the one that sends.
    unreached: receivers that did not take the last page from here; others may reach them.
    """

    folder: Path | None = None
    clock: Callable[[], float] = time.monotonic
    waiting: list[Bare] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    sent_at: dict[str, list[float]] = field(default_factory=dict)
    rests: dict[str, Rest] = field(default_factory=dict)
    unreached: set[str] = field(default_factory=set)
    _holds: list[Hold] = field(default_factory=list)
    _left: dict[str, float] = field(default_factory=dict)
    _back: float = -math.inf
    _tidied: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def held(self, pages: Sequence[Page]) -> Iterator[Hold]:
        """Hold these while the block commits them; without a delivery at its end they are lost."""
        now = self.clock()
        hold = Hold(pages, now + DUE_AFTER, now + HELD_FOR)
        if not pages:
            yield hold
            return
        with self._lock:
            self._holds.append(hold)
        try:
            yield hold
        finally:
            hold.lost = hold.delivery is None

    def due(self) -> list[Hold]:
        """What should have left by now, or cannot be committed; what is too old is forgotten."""
        now = self.clock()
        with self._lock:
            self._holds = [hold for hold in self._holds if hold.until > now]
            return [hold for hold in self._holds if hold.lost or hold.due <= now]

    def owed(self) -> list[Hold]:
        """What is committed and should have left so long ago that it must leave now."""
        now = self.clock()
        with self._lock:
            return [hold for hold in self._holds if hold.delivery and hold.due + OWED <= now]

    def late(self, after: float) -> list[Hold]:
        """What is committed, should have left `after` seconds ago, and is not written yet."""
        now = self.clock()
        with self._lock:
            return [
                hold
                for hold in self._holds
                if hold.delivery and not hold.written and hold.due + after <= now
            ]

    def release(self, holds: Iterable[Hold]) -> None:
        """Somebody else has them in hand."""
        gone = {id(hold) for hold in holds}
        with self._lock:
            self._holds = [hold for hold in self._holds if id(hold) not in gone]

    def hushed(self, late_at: float) -> bool:
        """Whether our database answers again only since a moment; never for long.

        late_at: when it was last known to be silent.
        """
        now = self.clock()
        if late_at > self._back and self._back + HUSH_AGAIN <= now:
            self._back = now
        return now < self._back + HUSH

    def resting(self, receiver: str) -> bool:
        """Whether it is left alone now."""
        rest = self.rests.get(receiver)
        return rest is not None and rest.until > self.clock()

    def claim(self, key: str) -> bool:
        """Whether this key may leave now: once in five minutes on this host."""
        now = self.clock()
        if self._left.get(key, -ONCE_IN) + ONCE_IN > now:
            return False
        self._left = {each: at for each, at in self._left.items() if at + ONCE_IN > now}
        self._left[key] = now
        if self.folder is None:
            return True
        if self._tidied + ONCE_IN <= now:
            self._tidied = now
            _tidy(self.folder)
        return _claim_file(self.folder, key)


def _claim_file(folder: Path, key: str) -> bool:
    """The first process of this host makes the file; one that is old is as good as none."""
    mark = folder / (_MARK + hashlib.sha256(key.encode()).hexdigest())
    _drop_old(mark)
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError:  # the folder is gone or full: rather twice than never
        return True
    return True


def _tidy(folder: Path) -> None:
    """Else each key that ever left barely would have its file for as long as we serve."""
    with suppress(OSError):  # gone, for instance
        for mark in folder.glob(f"{_MARK}*"):
            _drop_old(mark)


def _drop_old(mark: Path) -> None:
    """One from the future, too: the host's clock was set back, and it would be young for long."""
    with suppress(OSError):
        if not -_SKEW <= time.time() - mark.stat().st_mtime <= ONCE_IN:
            mark.unlink()
