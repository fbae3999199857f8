"""A target behind a transaction pooler: all works, and nothing is left for its next client."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Stage
from responder.embedded import _account, tied
from responder.pipeline import walk
from responder.pipeline.by_hand import Asked, ask
from tests.house import House, alert
from tests.shop import Shop
from tests.small_rules import TABLE, small_rule
from tests.walks import BAD, dies, fixes, refusing, walk_to

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
pytestmark = pytest.mark.skipif(
    not os.access(PGBOUNCER, os.X_OK), reason="pgbouncer is missing: apt-get install pgbouncer"
)
ANN = Actor(ActorKind.PERSON, "ann")
#: Two server connections for each role: what a fix needs, and so few that they are shared.
_INI = """
[databases]
{name} = host={sockets} port=5432
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
"""
SESSION = """
SELECT (SELECT count(*) FROM pg_prepared_statements) AS prepared,
       (SELECT count(*) FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'advisory') AS locks,
       current_setting('request.jwt.claims', true) AS claims,
       (SELECT jsonb_object_agg(name, setting) FROM pg_settings
        WHERE name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
            'standard_conforming_strings')) AS settings -- a pooler gives each client its own
"""


@pytest.fixture
def pooler(shop: Shop) -> Iterator[str]:
    """The URL of the shop through it, without the user."""
    with TemporaryDirectory(prefix="pooler-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        users = Path(folder) / "users"
        users.write_text('"responder_reading" ""\n"responder_writing" ""\n')
        ini = Path(folder) / "pgbouncer.ini"
        sockets = shop.server.socket_folder
        ini.write_text(_INI.format(name=shop.name, sockets=sockets, port=port, users=users))
        command = tied(PGBOUNCER, "-q", ini, account=_account())
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(process.terminate)
        _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True)
        yield f"127.0.0.1:{port}/{shop.name}?sslmode=disable"


def _until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.02)
    pytest.fail("it never happened")


@pytest.fixture
def house(
    make_house: Callable[..., House],
    shop: Shop,
    pooler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> House:
    """Its target is reached through the pooler alone."""
    shop.run(TABLE)
    rule = small_rule(tmp_path)
    made = make_house([rule])
    for kind in ("reading", "writing"):
        monkeypatch.setenv(f"TEST_{kind.upper()}", f"postgresql://responder_{kind}@{pooler}")
    made.promote(rule)
    return made


@contextmanager
def next_clients(pooler: str, role: str) -> Iterator[list[psycopg.Connection[dict[str, Any]]]]:
    """As many at once as there are server connections, so that each is looked at."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                psycopg.connect(
                    f"postgresql://{role}@{pooler}", row_factory=dict_row, prepare_threshold=None
                )
            )
            for _ in range(2)
        ]


@pytest.fixture
def nothing_is_left(shop: Shop, pooler: str, house: House) -> Iterator[None]:
    """The next clients find their sessions as a new one is."""
    yield
    for role in ("responder_reading", "responder_writing"):
        with psycopg.connect(shop.url(role), row_factory=dict_row) as fresh:
            expected = fresh.execute(SESSION).fetchone()
        assert expected is not None
        used = shop.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND usename = '{role}'"
        )
        assert used[0] > 0, "the pooler has kept its connections"
        with next_clients(pooler, role) as clients:
            found = [client.execute(SESSION).fetchone() for client in clients]
        assert found == [expected] * 2


@pytest.mark.usefixtures("nothing_is_left")
def test_a_fault_is_diagnosed_fixed_and_verified(house: House) -> None:
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"]) == ("committed", "held")
    assert house.shop.rows(BAD) == []
    assert house.document()["diagnosis"][0]["row_count"] == 3


@pytest.mark.usefixtures("nothing_is_left")
def test_what_a_dead_worker_left_is_settled(house: House) -> None:
    """After the target's commit, and after the last gate."""
    incident = walk_to(house, Stage.FIX)
    with refusing(house, "fix", "NEW.status = 'committed'"):
        dies(lambda: walk(house.services, incident.id, 0))
    walk(house.services, incident.id, 1)
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"]) == ("committed", "held")


@pytest.mark.usefixtures("nothing_is_left")
def test_what_was_not_decided_is_rolled_back(house: House) -> None:
    """Its connection to the pooler ends in the middle of its transaction."""
    incident = walk_to(house, Stage.FIX)
    with refusing(house, "fix", "NEW.status = 'recorded'"):
        dies(lambda: walk(house.services, incident.id, 0))
    assert house.shop.rows(BAD) == [1, 2, 3]
    house.later(timedelta(minutes=1))
    walk(house.services, incident.id, 1)
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back", "committed"]
    assert house.shop.rows(BAD) == []


@pytest.mark.usefixtures("nothing_is_left")
def test_a_person_tries_it(house: House) -> None:
    house.sql("DELETE FROM promotion")
    house.post(alert("Thing"))
    house.settle()
    incident = house.incident()
    asked = Asked(incident.id, "mend", incident.decision_id, dry_run=True)
    ask(house.services, asked, ANN, "operator")
    house.run_jobs()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"], fix["counts"]) == ("rolled_back", "dry run", {"thing": 3})
    assert house.shop.rows(BAD) == [1, 2, 3]
