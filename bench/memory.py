"""What each process of ours holds in memory, and whether that grows with the alerts it has seen."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import requests

from bench.lines import Chosen, Line
from bench.site import Site, open_site

#: Alerts of the whole run and of the short one; a quarter of it warms, before growth is counted.
_FULL, _SHORT = 1_000_000, 80_000
_PORTIONS = 8
_IN_A_DELIVERY = 100
_SENDERS = 4
#: In it each process notes once which secrets it has, for which scrypt takes 16 MB that stay.
_FIRST_MINUTE = 65
#: More is growth; less is what allocators give and take.
_NOISE = 5.0


def measure(chosen: Chosen) -> Iterator[Line]:
    alerts = _FULL if chosen.full else _SHORT
    with open_site() as site:
        time.sleep(_FIRST_MINUTE if chosen.full else 5)
        seen = [(0, site.memory())]
        for portion in range(1, _PORTIONS + 1):
            _send(site, alerts // _PORTIONS)
            seen.append((portion * (alerts // _PORTIONS), site.memory()))
    first, last = seen[len(seen) // 4][1], seen[-1][1]
    for kind, must in (("web", 120.0), ("worker", 150.0)):
        names = [name for name in last if name.startswith(kind)]
        yield Line(
            f"memory of a {kind} process after {alerts:,} alerts",
            max(last[name] for name in names),
            "MB",
            must=must,
            at_least=False,
            detail="resident; " + _told(seen, names),
        )
    grown = max(last[name] - first[name] for name in last)
    yield Line(
        f"memory that a process gained over {alerts - seen[len(seen) // 4][0]:,} alerts",
        max(0.0, grown),
        "MB",
        must=_NOISE,
        at_least=False,
        detail=f"after a quarter that warms; up to {_NOISE:g} MB is what allocators give and take",
    )


def _told(seen: list[tuple[int, dict[str, float]]], names: list[str]) -> str:
    parts = [f"{count // 1000}k: {max(used[name] for name in names):.1f}" for count, used in seen]
    return "by alerts: " + ", ".join(parts)


def _send(site: Site, alerts: int) -> None:
    """All of them have their outcome at the end; they are of 50 keys."""
    with ThreadPoolExecutor(_SENDERS) as pool:
        list(pool.map(lambda first: _post(site, first), range(0, alerts, _IN_A_DELIVERY)))
    while site.sql("SELECT FROM delivery WHERE triaged_at IS NULL LIMIT 1"):
        time.sleep(0.2)


def _post(site: Site, first: int) -> None:
    now = datetime.now(UTC).isoformat()
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "Noise", "instance": f"i{(first + n) % 50}", "team": "a"},
            "annotations": {"summary": f"It is noisy, {first + n} times"},
            "startsAt": now,
        }
        for n in range(_IN_A_DELIVERY)
    ]
    while True:
        body = {"version": "4", "alerts": alerts}
        answer = requests.post(site.webhook(), json=body, headers=site.headers, timeout=60)
        if answer.status_code == 202:
            return
        assert answer.status_code == 503, answer.text
        time.sleep(float(answer.headers.get("Retry-After", 1)))
