"""The regression guard: what we take in as a share of the floor, in pairs of short rounds.

Both of a pair meet the same machine, however busy it is, so no absolute time is looked at. One
connection shows what a delivery costs from its first byte to its answer, waiting included; sixteen
show what it costs the processors.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.lines import Chosen, Line
from bench.site import open_site
from bench.systems import CONNECTIONS, System, open_floor, ours

#: What is usually seen, by connections. Change it together with what makes it another one.
USUAL = {1: 0.6, CONNECTIONS: 0.6}
#: Three quarters of that: neighbours and luck cost a tenth at most, a millisecond more of waiting
#: or a third more of work costs a quarter.
ROOM = 0.75
PAIRS, SECONDS = 7, 0.7


def measure(_: Chosen) -> Iterator[Line]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="responder-guard-")))
        site = stack.enter_context(open_site(workers=0))
        both = ours(site), stack.enter_context(open_floor(site.server, folder))
        for system in both:
            system.drive(1, SECONDS)  # connections, caches and plans are warm then
        for connections, usual in USUAL.items():
            yield _compared(*both, connections, usual)


def _compared(own: System, floor: System, connections: int, usual: float) -> Line:
    ratios = []
    for number in range(PAIRS):
        order = (own, floor) if number % 2 else (floor, own)
        rates = {
            system.name: system.drive(
                1, SECONDS, connections=connections, first=(connections + number) * 100_000
            )[0].accepted
            for system in order
        }
        ratios.append(rates[own.name] / rates[floor.name])
    seen = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    name = f"deliveries over the floor, {connections} connections"
    return Line(name, median(ratios), "x", ROOM * usual, detail=f"pairs: {seen}")
