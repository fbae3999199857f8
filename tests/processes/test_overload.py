"""Ten times what it can take: it says so, stays up, and lets those in who have to wake somebody.

`TORTURE` is the long form: a minute of it.
"""

import os
import resource
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults.flood import Flooded, Plan, flood
from tests.faults.floods import lateness, plan
from tests.faults.long import alone
from tests.site import Site

pytestmark = alone

SECONDS = 60.0 if "TORTURE" in os.environ else 5.0
TIMES = 10
MEGABYTES = 60


def flooded(what: Plan) -> Flooded:
    with flood(what) as under_way:
        return under_way.ended()


def web_processes(site: Site) -> list[int]:
    leader = site.serve.pid
    return [int(p) for p in Path(f"/proc/{leader}/task/{leader}/children").read_text().split()]


def megabytes(processes: list[int]) -> list[int]:
    pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in processes]
    return [each * resource.getpagesize() // 1_000_000 for each in pages]


def test_ten_times_what_it_can_take(site: Site, told: Callable[[str], None]) -> None:
    capacity = flooded(plan(site, 2.0, 8)).statuses["202"] / 2.0
    processes, before = web_processes(site), megabytes(web_processes(site))
    connections = max(200, min(2000, int(3 * capacity)))
    came = flooded(
        plan(
            site,
            SECONDS,
            connections,
            rate=TIMES * capacity,
            grave_every=1.0,
            hands=connections,
        )
    )
    told(f"{capacity:.0f} deliveries/s are taken by 8 connections; {TIMES} times that comes for")
    told(f"{SECONDS:.0f} s over {connections} connections: {came.attempts} attempts, answered")
    told(f"{dict(came.statuses)}, broken {dict(came.broken)}; seconds (p50, p99, longest):")
    for kind, seconds in sorted(came.waits.items()):
        told(f"  {kind}: {', '.join(f'{each:.2f}' for each in seconds)}")
    told(f"sent away: {came.refused(grave=True):.0%} of P0, {came.refused(grave=False):.0%} else")
    told(f"all were in {came.drained:.1f} s after it; megabytes {before}, {megabytes(processes)}")

    assert set(came.statuses) == {"202", "503"}
    assert came.bare == 0, "each 503 says when to come again"
    assert came.broken == {}
    assert came.left == 0, "the senders' own retries brought everything in"
    known = {str(row["id"]) for row in site.sql("SELECT id FROM delivery")}
    assert set(came.accepted) <= known
    assert len(set(came.accepted)) == len(came.accepted) == len(came.deliveries)

    grave = [each for each in came.deliveries if each["grave"]]
    assert Counter(each["attempts"] for each in grave) == {1: len(grave)}, "P0 goes first"
    assert came.refused(grave=False) > 0.3
    late = max(lateness(site, came))
    told(f"{len(grave)} P0, the last page {late:.2f} s after its 202")
    assert late < 3.0

    assert web_processes(site) == processes and site.work.running
    assert max(megabytes(processes)) < max(before) + MEGABYTES
    again = flooded(plan(site, 1.0, 4))
    assert set(again.statuses) == {"202"}, "it is over as soon as the load is"
