"""Deliveries that wait are their own queue; each drain triages many of them in one transaction.

A delivery is locked as long as it is in hand, so that the others pass it by, and it is free again
the moment its worker dies. What failed, or was in a hand that died, is triaged alone from then on,
and is given up in the end: it fails nobody else.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from responder.domain.ids import new_id
from responder.domain.severity import Severity
from responder.pipeline.enrich import ASKED_TOGETHER, enrich, is_asked
from responder.pipeline.placing import Overtaken
from responder.pipeline.services import Services
from responder.pipeline.triage import (
    give_up_triage,
    log_outcomes,
    take_in_hand,
    triage_together,
)
from responder.store import StoreAway, Transaction
from responder.store.bell import listen

#: Triages of a delivery that fail before it is quarantined.
TRIES = 3
#: In one transaction, which must end long before it is cut.
DELIVERIES = 50
ALERTS = 300
#: Seconds in which a drain leaves a delivery alone that our database had no answer for.
REST = 15.0
#: Seconds that triage of what wakes nobody stands back between two batches after a P0 or P1 came,
#: whose diagnosis needs the processor now.
STAND_BACK = 0.5
#: Seconds after which a drain looks by itself, whether it was woken or not.
LOOK_EVERY = 0.5
_AGAIN = 1.0

Rows = Sequence[Mapping[str, Any]]


class Drain:
    """One thread of one worker; `urgent` takes P0 and P1 alone."""

    def __init__(self, services: Services, urgent: bool = False) -> None:
        self._services = services
        self._at_most = (Severity.P1 if urgent else Severity.P3).rank
        self._id = new_id()
        self._alone: set[UUID] = set()
        self._resting: dict[UUID, float] = {}

    def once(self) -> int:
        """Triage what comes next; returns how many deliveries it took. StoreAway."""
        rows: Rows = ()
        try:
            with self._services.store.transaction() as tx:
                rows = self._claim(tx)
                if not rows:
                    return 0
                take_in_hand(self._services, self._id, rows)
                hopeless = rows[0]["failures"] >= TRIES
                if not hopeless:
                    batch = triage_together(self._services, tx, enrich(self._services, tx, rows))
                tx.run("put_down", drain=self._id)
        except Overtaken:
            self._put_down()
        except StoreAway as away:
            self._let_rest(rows, away)
        except Exception:  # somebody's delivery; the others go on
            self._services.log.exception("triage failed", deliveries=len(rows))
            self._count_failure(rows)
        else:
            self._alone.difference_update(row["id"] for row in rows)
            if hopeless:
                why = "triage failed three times"
                give_up_triage(self._services, rows[0]["id"], why)
            else:
                log_outcomes(batch)
        return len(rows)

    def _claim(self, tx: Transaction) -> Rows:
        now = time.monotonic()
        self._resting = {each: until for each, until in self._resting.items() if until > now}
        rows = tx.all(
            "claim_deliveries",
            drain=self._id,
            at_most=self._at_most,
            resting=tuple(self._resting),
            deliveries=DELIVERIES,
            alerts=ALERTS,
        )
        return rows[:1] if rows and self._is_alone(rows[0]) else self._like_the_first(rows)

    def _is_alone(self, row: Mapping[str, Any]) -> bool:
        return row["failures"] > 0 or row["id"] in self._alone

    def _like_the_first(self, rows: Rows) -> Rows:
        """P0 and P1 do not wait for others, and nobody for those whose senders are asked."""
        found: list[Mapping[str, Any]] = []
        for row in rows:
            if self._is_alone(row) or self._kind(row) != self._kind(rows[0]):
                break
            found.append(row)
        asked = found and is_asked(self._services, found[0]["source"])
        return found[:ASKED_TOGETHER] if asked else found

    def _kind(self, row: Mapping[str, Any]) -> tuple[bool, bool]:
        return row["priority"] <= Severity.P1.rank, is_asked(self._services, row["source"])

    def _put_down(self) -> None:
        with self._services.store.transaction() as tx:
            tx.run("put_down", drain=self._id)

    def _let_rest(self, rows: Rows, away: StoreAway) -> None:
        """Nobody's fault, or of one of them: each alone, and one that is alone later. StoreAway."""
        if not rows:
            raise away
        self._services.log.warning("triage is tried again", deliveries=len(rows), why=str(away))
        if len(rows) == 1:
            self._resting[rows[0]["id"]] = time.monotonic() + REST
        else:
            self._alone.update(row["id"] for row in rows)
        self._put_down()

    def _count_failure(self, rows: Rows) -> None:
        self._put_down()
        with self._services.store.transaction() as tx:
            tx.run("count_failure", ids=tuple(row["id"] for row in rows))


class Drains:
    """Those of a worker: woken by the bell, and looking by themselves now and then."""

    def __init__(self, services: Services, slots: int) -> None:
        self._services = services
        self._stopped = threading.Event()
        self._urgent_until = 0.0
        so_many = max(1, slots // 4)
        self._kinds = [False] * so_many + [True] * max(1, so_many // 4)
        self._woken = [threading.Event() for _ in self._kinds]
        self._threads = [
            threading.Thread(target=self._run, args=each, name="drain", daemon=True)
            for each in zip(self._kinds, self._woken, strict=True)
        ]
        listening = (services.store.url, self._stopped, self._wake)
        self._threads.append(
            threading.Thread(target=listen, args=listening, name="bell", daemon=True)
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when the triage under way has ended."""
        self._stopped.set()
        self._wake(urgent=True)
        for thread in self._threads:
            thread.join(timeout=10)

    def _wake(self, urgent: bool) -> None:
        if urgent:
            self._urgent_until = time.monotonic() + STAND_BACK
        for kind, woken in zip(self._kinds, self._woken, strict=True):
            if urgent or not kind:
                woken.set()

    def _stand_back(self, urgent: bool) -> None:
        """No longer than that, however many come: then the next batch has its turn."""
        left = self._urgent_until - time.monotonic()
        if not urgent and left > 0:
            self._stopped.wait(left)

    def _run(self, urgent: bool, woken: threading.Event) -> None:
        drain = Drain(self._services, urgent)
        while not self._stopped.is_set():
            woken.wait(LOOK_EVERY)
            woken.clear()
            try:
                while not self._stopped.is_set() and drain.once():
                    self._stand_back(urgent)
            except StoreAway:
                self._stopped.wait(_AGAIN)  # the deliveries wait there
            except Exception:  # the outermost loop: the queue stops for nobody's mistake
                self._services.log.exception("a drain stumbled and goes on")
                self._stopped.wait(_AGAIN)
