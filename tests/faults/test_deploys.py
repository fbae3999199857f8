"""A deploy under load: senders see nothing of it, and the release before works beside this one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from responder.cli.demo.children import Child
from responder.cli.demo.databases import make_database
from responder.cli.demo.world import WORKER_IS_READY
from tests.faults.flood import Plan, flood
from tests.faults.floods import lateness, plan
from tests.faults.long import alone
from tests.site import Site, eventually

pytestmark = alone

#: The release before this one: the last commit whose newest migration is 0017.
BEFORE = "f1041aa"
ROOT = Path(__file__).parents[2]
#: A second; less than the slowest machine takes.
RATE = 10.0
ROWS = 1_000_000 if "TORTURE" in os.environ else 50_000
#: Deliveries of the last days that are over.
MANY = """
INSERT INTO delivery (id, received_at, source, outcome, body_sha256, body_bytes, headers, notices,
                      alert_count, triaged_at)
SELECT gen_random_uuid(), now() - n * interval '1 second', 'alertmanager', 'duplicate', '', 0, '{}',
       '[]', 0, now()
FROM generate_series(1, %s) n
RETURNING 1
"""
ROUNDS = 6 if "TORTURE" in os.environ else 1


def started(site: Site, arguments: list[str], ready: str, count: int, **told: str) -> Child:
    """One more process, as soon as it has said so many times that it is ready."""
    config = {"RESPONDER_CONFIG": str(site.world.folder / "responder.toml")}
    log = site.world.folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
    child = Child(arguments, {**config, **told}, log)
    child.start()
    child.wait_until(lambda: log.read_text(errors="replace").count(ready) >= count)
    return child


def terminate(child: Child) -> None:
    """As a supervisor does; it ends in its own time."""
    os.kill(child.pid, signal.SIGTERM)
    eventually(lambda: not child.running)


def gently(what: Plan, seconds: float, **more: object) -> Plan:
    return replace(what, seconds=seconds, rate=RATE, grave_every=1.0, afterwards=30.0, **more)  # type: ignore[arg-type]


def command(arguments: list[str], site: Site, **told: str) -> str:
    """What one of ours says, run to its end."""
    config = {"RESPONDER_CONFIG": str(site.world.folder / "responder.toml")}
    ran = subprocess.run(
        [sys.executable, "-m", "responder", *arguments],
        env={**os.environ, **config, **told},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def settled(site: Site, database: str = "responder") -> bool:
    """Nothing waits for anything."""
    (row,) = site.sql(
        "SELECT (SELECT count(*) FROM delivery WHERE triaged_at IS NULL) AS deliveries,"
        " (SELECT count(*) FROM incident WHERE walking OR stage NOT IN ('watch', 'done')) AS walks,"
        " (SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')) AS jobs",
        database=database,
    )
    return not any(row.values())


def test_restarted_one_after_the_other(
    site: Site, told: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    """New processes beside the old ones, on the same port, then SIGTERM to the old ones."""
    bind = urlsplit(site.world.url).netloc
    serve, work = site.serve, site.work
    seconds = 8.0 * ROUNDS
    with flood(gently(plan(site, seconds, 12), seconds)) as under_way:
        for _ in range(ROUNDS):
            newer = started(site, ["serve", "--bind", bind], "web process is ready", 2)
            request.addfinalizer(newer.stop)
            terminate(serve)
            worker = started(site, ["work"], WORKER_IS_READY, 1)
            request.addfinalizer(worker.stop)
            terminate(work)
            serve, work = newer, worker
        came = under_way.ended()
    told(f"{2 * ROUNDS} restarts; {came.attempts} attempts: {dict(came.statuses)}")
    told(f"connections that broke: {dict(came.broken)}; seconds: {dict(came.waits)}")
    assert set(came.statuses) == {"202"}
    assert sum(came.broken.values()) <= ROUNDS, "one may come in the moment when a door closes"
    assert came.left == 0
    known = {str(row["id"]) for row in site.sql("SELECT id FROM delivery")}
    assert set(came.accepted) <= known
    late = lateness(site, came)
    told(f"{len(late)} P0, the last page {max(late):.2f} s after its 202")
    assert max(late) < 3.0
    eventually(lambda: settled(site))
    assert site.gap() == (0, 0)


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files; a checkout without history has none to compare with."""
    folder = tmp_path_factory.mktemp("before")
    git = ["git", "-C", str(ROOT), "archive", BEFORE]
    archived = subprocess.run(git, capture_output=True, check=False)
    if archived.returncode:
        pytest.skip(f"no release before this one: {archived.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archived.stdout, check=True)
    return folder


def test_beside_the_release_before(
    site: Site,
    release_before: Path,
    told: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    """Old ones work; the schema is brought up under them; new ones begin beside; old ones end."""
    for child in site.world.children:
        child.stop()
    older = {"PYTHONPATH": str(release_before), "PYTHONSAFEPATH": "1"}
    ours = make_database(site.world.ours, "deployed")
    (site.world.folder / "database").write_text(ours)
    command(["migrate"], site, **older)
    site.sql(MANY, ROWS, database="deployed")
    bind = urlsplit(site.world.url).netloc

    def begun(arguments: list[str], ready: str, count: int, **told: str) -> Child:
        child = started(site, arguments, ready, count, **told)
        request.addfinalizer(child.stop)
        return child

    old = [
        begun(["serve", "--bind", bind], "Booting worker", 2, **older),
        begun(["work"], WORKER_IS_READY, 1, **older),
    ]
    eventually(lambda: requests.get(f"{site.world.url}/readyz", timeout=5).ok)
    seconds = 25.0
    with flood(gently(plan(site, seconds, 12, "Beside"), seconds)) as under_way:
        time.sleep(2)
        migrated = command(["migrate"], site)
        new = [
            begun(["serve", "--bind", bind], "web process is ready", 2),
            begun(["work"], WORKER_IS_READY, 1),
        ]
        time.sleep(5)
        for child in old:
            assert child.running, child.log.read_text()[-2000:]
            terminate(child)
        came = under_way.ended()
    new_ones = ", ".join(migrated.split()[1::2])
    assert "web process is ready" not in old[0].log.read_text(), "it is not the release before"
    told(f"migrated under load with {ROWS} deliveries stored: {new_ones}")
    told(f"seconds until an answer (p50, p99, longest): {dict(came.waits)}")
    told(f"{came.attempts} attempts: {dict(came.statuses)}, broken {dict(came.broken)}")
    assert set(came.statuses) == {"202"}
    assert came.left == 0
    late = lateness(site, came, "Beside")
    told(f"{len(late)} P0, the last page {max(late):.2f} s after its 202")
    assert max(late) < 3.0
    eventually(lambda: settled(site, "deployed"))
    rows = site.sql("SELECT id FROM delivery", database="deployed")
    assert set(came.accepted) <= {str(row["id"]) for row in rows}
    assert site.gap() == (0, 0)
    for child in [*old, *new]:
        assert "Traceback" not in child.log.read_text(), child.log
