"""What an acknowledgement costs: as a share of the floor, in its tail, and with a full database.

Rounds of each are interleaved, so that all see the same machine; compare ratios, never two runs.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.lines import Chosen, Line
from bench.lists import fill
from bench.load import Load
from bench.site import grow_old, open_site
from bench.systems import System, open_floor, ours

ROUNDS = 3
#: With ten alerts and a hundred audit events each: a million, and ten million.
INCIDENTS = 100_000
#: Each request of a run has a number of its own, so each of its alerts is a new one.
_firsts = count(0, 1_000_000)

Rounds = dict[str, list[tuple[Load, dict[str, float]]]]


def measure(chosen: Chosen) -> Iterator[Line]:
    """Web processes alone first; then beside a worker that triages what they take in."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="responder-accept-")))
        site = stack.enter_context(open_site(workers=0))
        grow_old(site.server)
        floor = stack.enter_context(open_floor(site.server, folder))
        both = [ours(site), floor]
        rounds = _rounds(both, chosen.seconds)
        yield from _rates(rounds, "deliveries accepted, 1 alert")
        yield _ratio(rounds, "deliveries accepted, over the floor", 0.75, 0.9)
        yield _bound(
            both[0], stack.enter_context(open_floor(site.server, folder, bound=True)), chosen
        )
        half = median(load.accepted for load, _ in rounds["responder"]) / 2
        yield _tail(_rounds(both, chosen.seconds, rate=half), half)
        yield from _rates(_rounds(both[:1], chosen.seconds, 20), "deliveries accepted, 20 alerts")
        if chosen.full:
            full = stack.enter_context(open_site(workers=0, server=site.server, database="full"))
            fill(full.database, INCIDENTS)
            yield _at_size(ours(site), ours(full), chosen.seconds)
    with open_site(workers=1) as site:
        rounds = _rounds([ours(site)], chosen.seconds)
        yield from _rates(rounds, "deliveries accepted, beside a worker")


def _rounds(
    systems: Sequence[System], seconds: float, alerts: int = 1, rate: float | None = None
) -> Rounds:
    """Of each in turn, by its name, after one that makes it warm."""
    for system in systems:
        system.drive(alerts, 1.0, next(_firsts), rate)
    found: Rounds = defaultdict(list)
    for _ in range(ROUNDS):
        for system in systems:
            found[system.name].append(system.drive(alerts, seconds, next(_firsts), rate))
    return found


def _rates(rounds: Rounds, name: str) -> Iterator[Line]:
    for system, seen in rounds.items():
        load, used = sorted(seen, key=lambda each: each[0].accepted)[len(seen) // 2]
        yield Line(name, load.accepted, "1/s", detail=load.detail, cpu=used, system=system)


def _ratio(rounds: Rounds, name: str, must: float, want: float) -> Line:
    """The median of the pairs."""
    pairs = zip(*rounds.values(), strict=True)  # ours is the first
    ratios = [own.accepted / other.accepted for (own, _), (other, _) in pairs]
    return Line(name, median(ratios), "x", must, want, detail=_told(ratios))


def _bound(own: System, floor: System, chosen: Chosen) -> Line:
    """What staying on one core gives the floor; ours does so always."""
    rounds = _rounds([own, floor], chosen.seconds)
    return _ratio(
        rounds, "deliveries accepted, over a floor that stays on its cores, too", 0.75, 0.9
    )


def _tail(rounds: Rounds, rate: float) -> Line:
    pairs = zip(rounds["responder"], rounds["floor"], strict=True)
    ratios = [own.p99 / other.p99 for (own, _), (other, _) in pairs]
    seen = ", ".join(f"{load.p99:.0f}" for load, _ in rounds["responder"])
    detail = f"at {rate:.0f}/s, {_told(ratios)}; ours {seen} ms"
    return Line(
        "p99 at half of that load, over the floor's", median(ratios), "x", 1.5, 1.2, False, detail
    )


def _at_size(empty: System, full: System, seconds: float) -> Line:
    for system in (empty, full):
        system.drive(1, 1.0, next(_firsts))
    ratios = []
    for _ in range(ROUNDS):
        before = empty.drive(1, seconds, next(_firsts))[0].accepted
        ratios.append(full.drive(1, seconds, next(_firsts))[0].accepted / before)
    name = "acceptance with 1,000,000 alerts, over an empty database"
    return Line(name, median(ratios), "x", 0.9, 0.97, detail=_told(ratios))


def _told(ratios: Sequence[float]) -> str:
    return "pairs: " + ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
