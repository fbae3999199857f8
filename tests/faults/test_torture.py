"""The fix protocol is killed at each of its steps and between them, and a fix is made at most once.

A moment of a fix is a request or an answer on the wire of its worker (`wire.py`). At a chosen one
the worker gets SIGKILL, and with it the target's connections are cut, or the target's server or our
own is killed; then all is started again and left to itself. `TORTURE=200` is the long form;
`TORTURE_SEED` picks other points.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from tests.faults.wire import Moment, Story
from tests.faults.worlds import World, Worlds, until

POINTS = int(os.environ.get("TORTURE", "30"))
SEED = int(os.environ.get("TORTURE_SEED", "7"))
#: Worlds that are disturbed at the same time; more would wait too long for each other.
AT_ONCE = 8
Deed = Literal["", "cut", "crash"]
SETTLED = ("committed", "rolled_back", "refused", "unknown")


@dataclass(frozen=True)
class Fault:
    """What happens at a moment; lives: so many seconds the worker goes on before it is killed."""

    moment: Moment
    after: bool = False
    deed: Deed = ""
    side: Literal["ours", "target"] = "target"
    lives: float = 0.0


@dataclass(frozen=True)
class Ending:
    """What both databases say when all is quiet again."""

    fault: Fault
    applied: int
    xids: tuple[str, ...]
    fixes: Sequence[dict[str, Any]]
    trail: Sequence[tuple[str, str]]
    decision: tuple[str, str]

    @property
    def statuses(self) -> list[str]:
        return [fix["status"] for fix in self.fixes]


def disturb(worlds: Worlds, faults: Sequence[Fault]) -> list[Ending]:
    """One world for each fault; whose server crashes waits for the others at its moment."""
    endings: list[Ending] = []
    for first in range(0, len(faults), AT_ONCE):
        some = faults[first : first + AT_ONCE]
        made = worlds.make([Story(fault.moment, fault.after) for fault in some])
        pairs = list(zip(made, some, strict=True))
        strike(worlds, pairs)
        worlds.restart(made)
        for world in made:
            until(lambda w=world: worlds.settled(w), world)
        endings += [ending(worlds, world, fault) for world, fault in pairs]
        worlds.close()
    return endings


def strike(worlds: Worlds, pairs: Sequence[tuple[World, Fault]]) -> None:
    crashing = [pair for pair in pairs if pair[1].deed == "crash"]
    waiting = [pair for pair in pairs if pair[1].deed != "crash"]
    while waiting:
        for world, fault in waiting[:]:
            if there(worlds, world):
                hit(worlds, world, fault)
                worlds.go_on(world)
                waiting.remove((world, fault))
        time.sleep(0.005)
    for world, _ in crashing:
        until(lambda w=world: there(worlds, w), world)
    for world, fault in crashing:
        hit(worlds, world, fault)
    for side in {fault.side for _, fault in crashing}:
        worlds.crash(getattr(worlds, side))
    for world, _ in crashing:
        worlds.go_on(world)
    time.sleep(max(fault.lives for _, fault in pairs))
    for world, fault in pairs:
        if fault.lives:
            worlds.kill(world)


def there(worlds: Worlds, world: World) -> bool:
    """At its moment, or past it: then it is killed when all is over."""
    return world.story.reached.is_set() or worlds.settled(world)


def hit(worlds: Worlds, world: World, fault: Fault) -> None:
    if fault.after:
        worlds.go_on(world)
    if not fault.lives:
        worlds.kill(world)
    if fault.deed == "cut":
        worlds.cut(getattr(world, fault.side))


def ending(worlds: Worlds, world: World, fault: Fault) -> Ending:
    thing = worlds.thing(world)
    trail = worlds.sql(
        world,
        "SELECT details->>'fix' AS fix, after FROM audit_event WHERE what = 'fix'"
        " AND details ? 'fix' ORDER BY id",
    )
    (decision,) = worlds.sql(
        world, "SELECT action, reason FROM decision ORDER BY at DESC, id DESC LIMIT 1"
    )
    return Ending(
        fault,
        thing["applied"],
        tuple(thing["xids"]),
        worlds.sql(world, "SELECT * FROM fix ORDER BY started_at, id"),
        [(event["fix"], event["after"]) for event in trail],
        (decision["action"], decision["reason"]),
    )


def judge(end: Ending) -> None:
    """At most once, what is said is true, nothing is left open, and the trail says the same."""
    assert end.applied in (0, 1), end
    assert set(end.statuses) <= set(SETTLED), end
    made = [fix["xid"] for fix in end.fixes if fix["status"] == "committed"]
    assert made == list(end.xids), end
    assert "unknown" not in end.statuses, f"the target could have said it: {end}"
    for fix in end.fixes:
        told = [after for each, after in end.trail if each == str(fix["id"])]
        recorded = ["recorded"] if fix["recorded_at"] else []
        assert told == ["started", *recorded, fix["status"]], end
        verification = "held" if fix["status"] == "committed" else None
        assert fix["verification"] == verification, end
    if end.applied == 0:
        assert end.decision == ("hand_over", "fix_failed"), end


def find(moments: Sequence[Moment], side: str, what: str, way: str, nth: int = 1) -> Moment:
    (found,) = (
        each
        for each in moments
        if (each.side, each.way, each.nth) == (side, way, nth) and each.what.startswith(what)
    )
    return found


#: Each numbered step and how its fixes end when the worker dies before it, and right after it.
STEPS = [
    ("1: the intent", "ours", "COMMIT insert_fix", 1, ["committed"], ["rolled_back", "committed"]),
    *(
        (name, "target", what, nth, ["rolled_back", "committed"], ["rolled_back", "committed"])
        for name, what, nth in (
            ("2: the lock", "writing lock", 1),
            ("2: the change", "writing WITH q AS ( UPDATE", 1),
            ("2: the flush", "writing COMMIT", 1),
        )
    ),
    ("3: the gate", "ours", "COMMIT record_fix", 1, *[["rolled_back", "committed"]] * 2),
    ("4: the commit", "target", "writing COMMIT", 2, ["rolled_back", "committed"], ["committed"]),
    ("5: the record", "ours", "COMMIT settle_fix", 1, ["committed"], ["committed"]),
    ("6: the verification", "ours", "COMMIT verify_fix", 1, ["committed"], ["committed"]),
]


@pytest.mark.parametrize(
    ("deed", "side"),
    [("", "target"), ("cut", "target"), ("crash", "target"), ("crash", "ours")],
    ids=["the worker", "and its target is cut", "and its target crashes", "and ours crashes"],
)
def test_killed_at_each_step(
    worlds: Worlds, moments: list[Moment], deed: Deed, side: Literal["ours", "target"]
) -> None:
    expected = []
    for _, where, what, nth, before, after in STEPS:
        for way, ends in ((">", before), ("<", after)):
            fault = Fault(find(moments, where, what, way, nth), deed=deed, side=side)
            expected.append((fault, ends))
    endings = disturb(worlds, [fault for fault, _ in expected])
    for end, (_, statuses) in zip(endings, expected, strict=True):
        judge(end)
        assert (end.statuses, end.applied) == (statuses, 1), end


@pytest.mark.parametrize("side", ["target", "ours"])
def test_killed_at_random(
    worlds: Worlds,
    moments: list[Moment],
    side: Literal["ours", "target"],
    told: Callable[[str], None],
) -> None:
    """A third with the worker alone, a third with connections cut, a third with a crash."""
    chance = random.Random(f"{SEED} {side}")
    ends: list[Ending] = []
    for deed in ("", "cut", "crash"):
        faults = [
            Fault(
                chance.choice(moments),
                chance.random() < 0.3,
                deed,  # type: ignore[arg-type]
                side,
                chance.choice((0.0, 0.0, chance.random())) if deed else 0.0,
            )
            for _ in range(POINTS // 3)
        ]
        ends += disturb(worlds, faults)
    for end in ends:
        judge(end)
    statuses = Counter(status for end in ends for status in end.statuses)
    told(f"seed {SEED}, {len(ends)} workers killed, with {side} cut or crashed in two thirds")
    told(f"of {len(moments)} moments; fixes: {dict(statuses)}")
    told(f"applied: {dict(Counter(end.applied for end in ends))}")


def test_a_stranger_is_not_taken_for_the_fix(worlds: Worlds, moments: list[Moment]) -> None:
    """Alone on its target, which crashes after the last gate: its id is not given out again."""
    fault = Fault(find(moments, "ours", "COMMIT record_fix", "<"), deed="crash")
    (end,) = disturb(worlds, [fault])
    judge(end)
    assert (end.statuses, end.applied) == (["rolled_back", "committed"], 1), end
