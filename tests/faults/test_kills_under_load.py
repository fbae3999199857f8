"""Any process of ours is killed at any moment while alerts come in, and no promise is broken.

Of two web and three worker processes one after the other gets SIGKILL, or one of those that it has
started; a moment later it is started again, as a supervisor does it. Always one web and one worker
process is up, for where nobody is, nobody can page. `TORTURE=200` kills 100 times; `TORTURE_SEED`
picks others.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import LiteralString

import psycopg
import pytest

from tests.faults.large_site import PATIENCE, LargeSite, until
from tests.faults.load import Load, under_load
from tests.faults.long import alone
from tests.faults.processes import Process, kill

pytestmark = alone

KILLS = int(os.environ.get("TORTURE", "16")) // 2
SEED = int(os.environ.get("TORTURE_SEED", "7"))
#: Rules whose fixes are made meanwhile, three of each.
RULES = 12 + KILLS // 3


#: What is done to our database behind its back, and what the ledger says of it.
SPOILED: dict[LiteralString, str] = {
    "DELETE FROM delivery WHERE id = (SELECT id FROM delivery ORDER BY id LIMIT 1)": "not there",
    "DELETE FROM alert WHERE id = (SELECT id FROM alert ORDER BY id DESC LIMIT 1)": "an outcome",
    "UPDATE fix SET xid = '1' WHERE id = (SELECT id FROM fix WHERE status = 'committed' LIMIT 1)": (
        "made, and not said"
    ),
    "UPDATE incident SET stage = 'plan' WHERE id = (SELECT id FROM incident LIMIT 1)": (
        "without its event"
    ),
}
FORGOTTEN = "was paged, if at all"


def spoil(load: Load) -> None:
    """The ledger must see it; the pager is made to forget a call."""
    with psycopg.connect(load.ours.url()) as connection:
        connection.execute("SET search_path = responder")
        for statement in SPOILED:
            assert connection.execute(statement).rowcount == 1, statement
    forgotten = next(page for page in load.ledger.pages.values() if page.accepted)
    del load.site.pager.first[forgotten.key]


def spared(site: LargeSite) -> list[Process]:
    """Whom nobody would miss: another one of its kind does its work."""
    ready = {id(each) for each in site.processes if each.ready}
    return [
        process
        for kind in (site.webs, site.workers)
        for process in kind
        if process.running and any(id(each) in ready for each in kind if each is not process)
    ]


def kill_one(site: LargeSite, chance: random.Random) -> str:
    """What was killed; whoever has ended before is started again by then."""
    there: list[Process] = []

    def somebody() -> bool:
        site.look_after()
        there[:] = spared(site)
        return bool(there)

    until(somebody, PATIENCE)
    process = chance.choice(there)
    members = process.members()
    member = chance.randrange(len(members))
    kill(members[member])
    kinds = ("gunicorn", "web") if process in site.webs else ("worker",)
    return (*kinds, "rules")[min(member, len(kinds))]


def test_processes_are_killed_at_random(told: Callable[[str], None]) -> None:
    chance, killed = random.Random(SEED), Counter[str]()
    with under_load(SEED, RULES, excused=lambda page: not page.accepted) as load:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 1.0))
            killed[kill_one(load.site, chance)] += 1
            time.sleep(chance.uniform(0.1, 1.0))
            load.site.look_after()
        told(f"seed {SEED}, killed: {dict(killed)}")
        load.settle(told)
        spoil(load)
        with pytest.raises(AssertionError) as seen:
            load.ledger.judge(load.site, lambda _: None)
        for trouble in (*SPOILED.values(), FORGOTTEN):
            assert trouble in str(seen.value)
