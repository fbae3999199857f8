"""Senders that post as Alertmanager does, until everything that they have to say is taken."""

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.faults.large_site import BLAZES, TARGETS
from tests.faults.ledger import Delivery, Ledger, Notice
from tests.house import alert

#: Of a hundred deliveries so many tell of something new that wakes people, of a thing that is to be
#: fixed, and of an end; all others are about what wakes nobody.
PAGES, FIXES, ENDS = 8, 30, 20
#: How many conditions of those that wake nobody there are.
NOISES = 40
#: Pauses between attempts after a broken connection, in seconds: doubled each time up to the last.
FIRST_PAUSE, LAST_PAUSE = 0.25, 4.0
#: A condition ends no sooner than this after it was taken: its page should have left by then.
LASTS = 5.0


@dataclass
class Traffic:
    """What there is to tell, made up as it goes; the same seed tells the same.

    things: rules that fix something; each fires first some time after the ones before.
    """

    seed: int
    things: int
    ledger: Ledger
    numbers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._known = 0

    def next(self) -> Delivery:
        """A group of alerts, most often of one."""
        with self._lock:
            count = self._chance.choice((1, 1, 1, 2, 5))
            return _delivery([self._notice() for _ in range(count)])

    def fault(self) -> Delivery:
        """One new alert that must wake somebody."""
        with self._lock:
            self.numbers += 1
            return _delivery([self._of(alert(f"Fault{self.numbers}", severity="critical"))])

    def _notice(self) -> Notice:
        self.numbers += 1
        dice = self._chance.randrange(100)
        if dice < PAGES:
            return self._page()
        if dice < PAGES + FIXES:
            return self._thing()
        if dice < PAGES + FIXES + ENDS and (ended := self._end()):
            return ended
        number = self._chance.randrange(NOISES)
        return self._of(alert(f"Noise{number}", severity="info", instance=f"host-{number}"))

    def _page(self) -> Notice:
        """A new fault that nobody has a rule for, or one of a target that is on fire."""
        if self._chance.random() < 0.1:
            name = f"Blaze{self._chance.randint(1, BLAZES)}"
            return self._of(alert(name, shard="fire", instance=f"host-{self.numbers}"))
        severity = self._chance.choice(("critical", "error"))
        return self._of(alert(f"Fault{self.numbers}", severity=severity))

    def _thing(self) -> Notice:
        """Now and then one more, else one that has fired before."""
        most = self.things * TARGETS
        if self._known == 0 or (self._known < most and self._chance.random() < 0.25):
            self._known += 1
            rule, shard = divmod(self._known - 1, TARGETS)
        else:
            rule, shard = divmod(self._chance.randrange(self._known), TARGETS)
        told = {"shard": str(shard), "instance": f"host-{self._chance.randrange(9)}"}
        return self._of(alert(f"Thing{rule + 1}", severity="warning", **told))

    def _end(self) -> Notice | None:
        """Of a fault that was taken a while ago; none ends twice."""
        before = time.monotonic() - LASTS
        fault = self.ledger.take_one_to_end(before)
        if fault is None:
            return None
        labels = dict(fault.alert["labels"])
        return self._of(alert(labels.pop("alertname"), "resolved", **labels))

    def _of(self, told: dict[str, Any]) -> Notice:
        return Notice(told, self.ledger.wakes(told))


def _delivery(notices: Sequence[Notice]) -> Delivery:
    firing = any(notice.alert["status"] == "firing" for notice in notices)
    body = {"version": "4", "groupKey": "{}", "status": "firing" if firing else "resolved"}
    return Delivery(json.dumps({**body, "alerts": [each.alert for each in notices]}), notices)


@dataclass
class Senders:
    """Threads that each bring one delivery in after the other; pause: seconds between two.

    doors: base URLs; each attempt takes the next one, as a load balancer would.
    """

    doors: Sequence[str]
    bearer: str
    traffic: Callable[[], Delivery]
    ledger: Ledger
    count: int = 8
    pause: float = 0.25

    def __post_init__(self) -> None:
        self._ended, self._hurry = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"sender {number}")
            for number in range(self.count)
        ]

    def __enter__(self) -> "Senders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """They bring in what they have begun; if the test failed before, nobody waits for that."""
        self._ended.set()
        self._hurry.set()
        for thread in self._threads:
            thread.join()

    def also(self, delivery: Delivery) -> threading.Thread:
        """A sender more, which brings this one in and ends."""

        def run() -> None:
            with self._session() as session:
                self._bring_in(session, len(self._threads), delivery)

        sender = threading.Thread(target=run, name="one more sender")
        self._threads.append(sender)
        sender.start()
        return sender

    def finish(self, patience: float) -> None:
        """Nothing new is told; returns when all that was told is taken."""
        self._ended.set()
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), (
            f"after {patience} s there are deliveries that nobody takes: {self.ledger.counts()}"
        )

    def _run(self, number: int) -> None:
        with self._session() as session:
            while not self._ended.wait(self.pause):
                self._bring_in(session, number, self.traffic())

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.bearer}"
        session.headers["Content-Type"] = "application/json"
        return session

    def _bring_in(self, session: requests.Session, first: int, delivery: Delivery) -> None:
        """5xx and broken connections are tried again with the same body, 4xx never."""
        attempt, pause = 0, FIRST_PAUSE
        while not self._hurry.is_set():
            door = (first + attempt) % len(self.doors)
            attempt += 1
            url = f"{self.doors[door]}/v1/webhooks/prometheus"
            try:
                answer = session.post(url, data=delivery.body, timeout=10)
            except requests.RequestException:
                self.ledger.broken()
                self._hurry.wait(pause)
                pause = min(pause * 2, LAST_PAUSE)
                continue
            if self.ledger.answered(delivery, door, answer):
                return
            self._hurry.wait(float(answer.headers.get("Retry-After", pause)))
