"""Simulated senders: each follows its own rules of trying again (CONTRACTS, section 0)."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from typing import Any

from tests.senders import Sender, told

#: One request: body and headers; its status, None when the connection broke, and Retry-After.
Attempt = Callable[[bytes, dict[str, str]], tuple[int | None, float]]


def _alertmanager(status: int | None) -> bool:
    return status is None or status >= 500


def _pagerduty(status: int | None) -> bool:
    return status is None or status >= 500 or status == 429


def _standard(status: int | None) -> bool:
    return status is None or not 200 <= status < 300


#: What is tried again within one notification. Grafana tries nothing again.
AGAIN: dict[str, Callable[[int | None], bool]] = {
    "alertmanager": _alertmanager,
    "grafana": lambda status: False,
    "pagerduty": _pagerduty,
    "generic": _standard,
}
_SCHEDULE = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)


def pauses(kind: str) -> Iterator[float]:
    """Seconds before each further attempt."""
    if kind == "alertmanager":  # cenkalti/backoff: half a second, half as much again each time
        yield from (0.5 * 1.5 ** min(number, 12) for number in count())
    elif kind == "pagerduty":
        yield from (2.0 ** min(number, 9) for number in count())
    else:
        yield from chain(_SCHEDULE, repeat(86_400.0))


@dataclass
class Simulated:
    """Tells of one alert after the other; `pause` is asked to wait for seconds of its own time.

    told: names that were acknowledged; failed: those that it does not try again.
    """

    sender: Sender
    attempt: Attempt
    pause: Callable[[float], None]
    acknowledged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    answers: Counter[int | None] = field(default_factory=Counter)

    def tell(self, name: str, **more: Any) -> bool:
        """One notification to its end; the id is the same at each attempt, the time is not."""
        body = told(self.sender.alerts(name, **more))
        identifier = f"msg_{self.sender.name}_{name}_{more.get('status', 'firing')}"
        waits = pauses(self.sender.type)
        while True:
            status, retry_after = self.attempt(body, self.sender.headers(body, identifier))
            self.answers[status] += 1
            if status is not None and 200 <= status < 300:
                self.acknowledged.append(name)
                return True
            if not AGAIN[self.sender.type](status):
                self.failed.append(name)
                return False
            honoured = retry_after if self.sender.type == "generic" else 0.0
            self.pause(max(next(waits), honoured))
