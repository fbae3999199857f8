"""A worker stands still in the middle of a fix, and goes on when another one has taken over.

A host that swaps, a virtual machine that is moved, SIGSTOP: the process is no longer there, and
then it is, with all that it holds. `TORTURE` makes it stand still for a minute, at each moment.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from responder.app import build
from responder.pipeline.audit.report import Report
from responder.pipeline.audit.sealing import seal_events
from responder.pipeline.audit.verify import verify_all
from responder.pipeline.services import Services
from responder.settings import load
from tests.audit.conftest import make_settings
from tests.faults.long import only_in_torture
from tests.faults.test_torture import STEPS, Ending, Fault, ending, find, judge
from tests.faults.wire import Moment, Story
from tests.faults.workers import alive, kill
from tests.faults.worlds import World, Worlds, until

LONG = "TORTURE" in os.environ
#: Seconds for which it stands still at least; then as long as the other one needs.
STANDS = 60.0 if LONG else 0.0
#: Workers that stand still at the same time.
AT_ONCE = 8
#: Seconds in which it finds out, once it goes on, that it was taken over.
AFTERWARDS = 3.0


@dataclass
class Still:
    """A worker that stands still, the one that is to take over, and who seals meanwhile."""

    world: World
    fault: Fault
    other: int
    services: Services

    @property
    def log(self) -> str:
        return (self.world.folder / "other.log").read_text()


def faults_of(moments: Sequence[Moment]) -> list[Fault]:
    """Right before each step leaves the worker, and right before its answer arrives there."""
    faults = [
        Fault(find(moments, where, what, way, nth))
        for _, where, what, nth, _, _ in STEPS
        for way in (">", "<")
    ]
    return faults if LONG else faults[:: len(faults) // AT_ONCE] + faults[-1:]


@contextmanager
def standing(worlds: Worlds, world: World, fault: Fault) -> Iterator[Still]:
    """The worker is stopped at its moment, and another one is started beside it."""
    until(world.story.reached.is_set, world)
    os.kill(world.worker, signal.SIGSTOP)
    folder = world.folder
    other = worlds.workers.start(folder / "responder.toml", folder / "other.log")
    services = build(load(folder / "responder.toml"), pool_size=2)
    seal = replace(make_settings(folder), every=timedelta())
    services = replace(services, settings=replace(services.settings, seal=seal))
    services.store.open()
    try:
        yield Still(world, fault, other, services)
    finally:
        services.store.close()
        if alive(other):
            kill(other)


def settled(worlds: Worlds, still: Still) -> bool:
    """The other one has come to an end of it."""
    return worlds.settled(still.world)


def seal(still: Still) -> Report:
    """One more seal, and what an auditor finds."""
    seal_events(still.services)
    with still.services.store.snapshot() as tx:
        return verify_all(tx, still.services.settings.seal)


@only_in_torture
def test_nothing_is_made_twice_and_what_is_said_is_true(
    worlds: Worlds, moments: list[Moment], told: Callable[[str], None]
) -> None:
    faults = faults_of(moments)
    ends: list[Ending] = []
    for first in range(0, len(faults), AT_ONCE):
        some = faults[first : first + AT_ONCE]
        made = worlds.make([Story(fault.moment) for fault in some])
        with ExitStack() as stack:
            stills = [
                stack.enter_context(standing(worlds, world, fault))
                for world, fault in zip(made, some, strict=True)
            ]
            began = time.monotonic()
            for still in stills:
                until(lambda s=still: settled(worlds, s), still.world)
                assert "walked" in still.log, "another one has taken over"
                report = seal(still)
                assert (report.troubles, report.unsealed) == ([], 0), "seals go on meanwhile"
                assert report.events > 0
            time.sleep(max(0.0, STANDS - (time.monotonic() - began)))
            told(f"they stood still for {time.monotonic() - began:.0f} s")
            for still in stills:
                os.kill(still.world.worker, signal.SIGCONT)
                worlds.go_on(still.world)
            time.sleep(AFTERWARDS)
            for still in stills:
                until(lambda s=still: worlds.settled(s.world), still.world)
                assert alive(still.world.worker), "it goes on with other work"
                end = ending(worlds, still.world, still.fault)
                judge(end)
                assert end.applied == 1, end
                assert seal(still).troubles == []
                ends.append(end)
        worlds.close()
    told(f"{len(ends)} stopped; fixes: {dict(Counter(s for end in ends for s in end.statuses))}")
