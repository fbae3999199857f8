"""A large site on a PostgreSQL of its own, with senders at work and a ledger that is kept."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from responder.embedded import LocalPostgres
from tests.conftest import _memory
from tests.faults.large_site import PATIENCE, LargeSite, open_large_site
from tests.faults.ledger import Ledger, Page
from tests.faults.machine import Machine
from tests.faults.network import Ground
from tests.faults.senders import Senders, Traffic


@dataclass
class Load:
    """ours: the server of our database, to be disturbed; disk: a small one that it alone has."""

    ours: LocalPostgres
    site: LargeSite
    ledger: Ledger
    traffic: Traffic
    senders: Senders
    disk: Path | None = None

    def settle(self, told: Callable[[str], None]) -> None:
        """What was told is brought in, everything comes to rest, and the ledger is judged."""
        self.site.ready()
        self.senders.finish(PATIENCE)
        self.site.rest()
        self.ledger.judge(self.site, told)


@contextmanager
def under_load(
    seed: int,
    rules: int,
    ours: LocalPostgres | None = None,
    url: str = "",
    ground: Ground | None = None,
    excused: Callable[[Page], bool] = lambda page: False,
) -> Iterator[Load]:
    """Senders are at work in the block; ours: another server, already started.

    url: by which our processes reach it; ground: hosts for two webs and three workers.
    """
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = Path(enter(TemporaryDirectory(prefix="load-", dir=_memory())))
        folder.chmod(0o755)  # root's server has an account of its own
        server = ours or enter(LocalPostgres(folder / "ours"))
        site = enter(open_large_site(folder / "site", url or server.url(), rules, ground=ground))
        ledger = Ledger(site.services, enter(Machine()), excused)
        traffic = Traffic(seed, rules, ledger)
        senders = enter(Senders(site.doors, site.bearer, traffic.next, ledger))
        yield Load(server, site, ledger, traffic, senders)
