"""The regression guard: what a delivery costs us, beside what it costs the floor, in one run.

Two costs that a busy machine hardly changes: how long the fastest tenth of the deliveries take, one
after the other, which shows each wait and each step on the way to the answer; and the processor
time of a delivery while many come at once. Rates would tell what the neighbours do.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.lines import Chosen, Line
from bench.site import open_site
from bench.systems import CONNECTIONS, System, open_floor, ours

#: The floor's cost as a share of ours, as it is usually seen, of either kind; change it together
#: with what changes it.
USUAL = 0.6
#: Three quarters of that: luck moves a median of pairs by a tenth, a third more of waiting or of
#: work by a quarter. Busy neighbours move it towards 1, since both then wait for a processor.
ROOM = 0.75
PAIRS, SECONDS = 7, 0.7


def measure(_: Chosen) -> Iterator[Line]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="responder-guard-")))
        site = stack.enter_context(open_site(workers=0))
        own, floor = ours(site), stack.enter_context(open_floor(site.server, folder))
        for system in (own, floor):
            system.drive(1, SECONDS)  # connections, caches and plans are warm then
        for name, cost in (("wait", wait), ("work", work)):
            pairs = [_pair(cost, own, floor, number) for number in range(PAIRS)]
            ratios = [theirs / own_cost for own_cost, theirs in pairs]
            middle = [median(costs) for costs in zip(*pairs, strict=True)]
            detail = f"{middle[1]:.2f} of {middle[0]:.2f} ms; pairs: "
            detail += ", ".join(f"{ratio:.2f}" for ratio in ratios)
            what = f"{name} for the floor's 202, of that for ours"
            yield Line(what, median(ratios), "x", ROOM * USUAL, detail=detail)


def _pair(
    cost: Callable[[System, int], float], own: System, floor: System, number: int
) -> tuple[float, float]:
    """What ours and the floor cost in neighbouring rounds; who begins takes turns."""
    order = (own, floor) if number % 2 else (floor, own)
    costs = {system.name: cost(system, number) for system in order}
    return costs[own.name], costs[floor.name]


def wait(system: System, number: int) -> float:
    """Milliseconds, of one sender that waits for each answer."""
    got, _ = system.drive(1, SECONDS, number * 100_000, connections=1)
    return got.p10


def work(system: System, number: int) -> float:
    """Milliseconds of a processor for a delivery, of the web workers and the database."""
    got, used = system.drive(1, SECONDS, (PAIRS + number) * 100_000, connections=CONNECTIONS)
    return (sum(used.values()) - used["generator"]) / got.accepted * 1000
