"""Our database fails over to its replica while alerts come in; one URL leads to whoever writes.

With synchronous replication nothing is lost. Without it the last moments are gone: senders bring
back what was promised in them, no fix is made twice, and automatic ones wait for a person.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from responder.embedded import LocalPostgres
from tests.conftest import _memory
from tests.faults.large_site import PATIENCE, until
from tests.faults.load import Load, under_load
from tests.faults.long import alone
from tests.faults.replica import Replica, replica_of

pytestmark = alone

SEED = int(os.environ.get("TORTURE_SEED", "7"))
RULES = 18
SETTINGS = {"max_connections": "150", "wal_keep_size": "256MB"}
#: Some fixes are made and verified before it.
FIXED = "SELECT FROM fix WHERE status = 'committed' AND verification <> 'waiting'"


@contextmanager
def storm() -> Iterator[tuple[Load, LocalPostgres, Replica]]:
    """With the load under way for a while, on a primary whose replica streams."""
    with TemporaryDirectory(prefix="failover-", dir=_memory()) as name:
        Path(name).chmod(0o755)
        with (
            LocalPostgres(Path(name) / "primary", settings=SETTINGS) as primary,
            replica_of(primary, Path(name) / "replica") as replica,
            under_load(SEED, RULES, primary, replica.either("postgres")) as load,
        ):
            until(lambda: load.site.sql(FIXED), PATIENCE)
            yield load, primary, replica


def fails_over(load: Load, replica: Replica) -> float:
    """The seconds for which nobody took anything."""
    began = time.monotonic()
    replica.promote()
    until(lambda: all(web.ready for web in load.site.webs), PATIENCE)
    return time.monotonic() - began


def switched_off(load: Load) -> bool:
    """Automatic fixes, until a person says that this is the right server."""
    found = load.site.sql("SELECT FROM audit_event WHERE what = 'autofix' AND after = 'off'")
    return len(found) == 1


def test_with_synchronous_replication(told: Callable[[str], None]) -> None:
    with storm() as (load, primary, replica):
        with psycopg.connect(primary.url(), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            admin.execute("SELECT pg_reload_conf()")
        time.sleep(2)
        before = load.senders.also(load.traffic.fault())
        until(lambda: not before.is_alive(), PATIENCE)
        load.senders.also(load.traffic.fault())
        told(f"the replica wrote {fails_over(load, replica):.1f} s after its primary was killed")
        time.sleep(3)
        load.settle(told)
        assert switched_off(load)


def test_without_it_what_was_lost_comes_back(told: Callable[[str], None]) -> None:
    with storm() as (load, _, replica):
        replica.go_deaf()
        load.senders.also(load.traffic.fault())
        time.sleep(2)
        told(f"the replica wrote {fails_over(load, replica):.1f} s after its primary was killed")
        lost = load.ledger.forget(load.site)
        told(f"promised and lost: {len(lost)} deliveries, which are told again")
        assert lost, "nothing was lost, so nothing is proven"
        for delivery in lost:
            load.senders.also(delivery)
        time.sleep(3)
        load.settle(told)
        assert switched_off(load)
