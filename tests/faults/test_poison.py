"""A delivery that kills whoever triages it: it is found out, and everybody else is answered.

Each worker is real; whichever begins to write the poisonous alert gets SIGKILL at that moment, as
from a kernel that is out of memory, and is started again, as by systemd.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from responder.app import build
from responder.cli.demo.stand_in import StandIn
from responder.pipeline.accept import accept
from responder.pipeline.drain import TRIES
from responder.pipeline.pages import web_watches
from responder.pipeline.services import Services
from responder.settings import load
from responder.sources import Request
from responder.store.vault import new_key
from tests.faults.workers import Workers, alive, kill, open_workers
from tests.house import BEARER, alert
from tests.small_rules import small_rule
from tests.stand_in import SECRET

#: Deliveries that are well, around the one that is not.
MANY = 60
PATIENCE = 60.0
_SETTINGS = """
database = "file:{folder}/ours_{number}"
runbook = "{folder}/runbook"

[vault]
keys = "file:{folder}/vault_key"

[sources.prometheus]
type = "alertmanager"
bearer = "file:{folder}/bearer"

[targets.shop]
kind = "shop"
matches = []
reading = "file:{folder}/reading"

[receivers.pager]
type = "pagerduty"
url = "{pager}"
routing_key = "file:{folder}/pager"

[[routes]]
receivers = ["pager"]
page = true
"""
#: Whoever writes it stands still until somebody has seen who that is.
_POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.outcome <> 'quarantined' THEN PERFORM pg_sleep(30); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER poison BEFORE INSERT ON responder.alert FOR EACH ROW
WHEN (NEW.name = 'Poison') EXECUTE FUNCTION poison();
"""
_STRUCK = """
SELECT pid, application_name FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'PgSleep'
"""


@dataclass
class Ward:
    """Our database, a web process's watches, and workers that come back; deaths: by name."""

    services: Services
    workers: Workers
    folder: Path
    pager: StandIn
    names: tuple[str, ...]
    back_after: float
    at_work: dict[str, int] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def post(self, *alerts: Mapping[str, Any]) -> None:
        body = {"version": "4", "status": "firing", "alerts": list(alerts)}
        headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
        request = Request(headers, json.dumps(body).encode(), datetime.now(UTC))
        accept(self.services, "prometheus", request)

    def ours(self, statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.services.store.url, row_factory=dict_row) as connection:
            connection.execute("SET search_path = responder, responder_jobs")
            return connection.execute(statement).fetchall()  # type: ignore[call-overload]

    def start(self, name: str) -> None:
        config, log = self.folder / f"{name}.toml", self.folder / f"{name}.log"
        self.at_work[name] = self.workers.start(config, log, slots=4)

    def strike(self) -> None:
        """Kill whoever takes the poison, until it is over; its session ends with it."""
        with psycopg.connect(self.services.store.url, autocommit=True) as connection:
            while not self.over.wait(0.02):
                for session, name in connection.execute(_STRUCK).fetchall():
                    self.deaths[name] += 1
                    if name in self.at_work:  # else it is the web process, that is: this one
                        kill(self.at_work.pop(name))
                        threading.Timer(self.back_after, self.start, [name]).start()
                    connection.execute("SELECT pg_terminate_backend(%s, 5000)", [session])


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with open_workers() as opened:
        yield opened


@pytest.fixture
def ward(
    database: str, workers: Workers, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Ward]:
    so_many, back_after = request.param
    for name, text in {
        **{"vault_key": new_key(), "bearer": BEARER, "pager": "0" * 32},
        "reading": "postgresql://nobody@127.0.0.1:1/shop",
    }.items():
        (tmp_path / name).write_text(text)
    small_rule(tmp_path / "runbook", "Poison")
    names = ["web", *(f"worker_{number}" for number in range(so_many))]
    with StandIn([SECRET], time.time) as pager:
        for name in names:
            settings = _SETTINGS.format(folder=tmp_path, number=name, pager=pager.url)
            (tmp_path / f"{name}.toml").write_text(settings)
            (tmp_path / f"ours_{name}").write_text(f"{database}&application_name={name}")
        with psycopg.connect(database) as connection:
            connection.execute(_POISON)
        services = build(load(tmp_path / "web.toml"), pool_size=8)
        services.store.open()
        services.lifeline.open()
        watches = web_watches(services)
        for watch in watches:
            watch.start()
        ward = Ward(services, workers, tmp_path, pager, tuple(names[1:]), back_after)
        for name in names[1:]:
            ward.start(name)
        striking = threading.Thread(target=ward.strike)
        striking.start()
        yield ward
        ward.over.set()
        striking.join()
        time.sleep(back_after)
        for watch in watches:
            watch.stop()
        for each in ward.at_work.values():
            if alive(each):
                kill(each)
        services.lifeline.close()
        services.store.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


#: How many workers, and seconds after which one that died is there again; while there is none, web
#: processes triage what wakes people.
@pytest.mark.parametrize(
    ("ward", "severity"),
    [((3, 0.5), "warning"), ((1, 4.0), "critical")],
    indirect=["ward"],
    ids=["P2 and three workers", "P0 and one worker"],
)
def test_it_is_quarantined_and_the_others_are_answered(
    ward: Ward, severity: str, told: Callable[[str], None]
) -> None:
    for number in range(MANY):
        ward.post(alert(f"Odd{number % 7}", severity="info", instance=f"{number}"))
        if number == MANY // 2:
            ward.post(alert("Poison", severity=severity), alert("Beside", severity=severity))
            ward.post(alert("Grave", severity="critical"))
    until(lambda: not ward.ours("SELECT FROM delivery WHERE triaged_at IS NULL"))
    until(lambda: not ward.ours("SELECT FROM incident WHERE walking"))
    told(f"deaths: {dict(ward.deaths)}")
    assert set(ward.deaths) <= set(ward.names), "the web process has taken it in hand, too"
    assert 1 <= ward.deaths.total() <= TRIES
    outcomes = {
        (row["name"], row["outcome"]): row["count"]
        for row in ward.ours(
            "SELECT name, CASE outcome WHEN 'joined' THEN 'opened' ELSE outcome END AS outcome,"
            " count(*) FROM alert GROUP BY 1, 2"
        )
    }
    assert outcomes == {
        ("Poison", "quarantined"): 1,
        ("Beside", "quarantined"): 1,
        ("Grave", "opened"): 1,
        **{(f"Odd{number}", "opened"): len(range(number, MANY, 7)) for number in range(7)},
    }
    events = ward.ours(
        "SELECT details->>'why' AS why FROM audit_event"
        " WHERE what = 'delivery' AND after = 'quarantined'"
    )
    assert [event["why"] for event in events] == ["triage failed three times"]
    with ward.services.store.transaction() as tx:
        ledger = tx.one("ledger")
    assert (ledger["alerts_gap"], ledger["incidents_gap"]) == (0, 0)
    woken = {page["payload"]["summary"] for page in ward.pager.received()["pagerduty"]}
    graves = ["Grave", *(["Poison", "Beside"] if severity == "critical" else [])]
    assert all(any(name in summary for summary in woken) for name in graves), woken
    late = ward.ours(
        "SELECT max(n.sent_at - d.received_at) AS late FROM notification n, delivery d"
        " WHERE n.page AND n.happening = 'opened' AND d.page_due_at IS NOT NULL"
    )
    told(f"the last page left {late[0]['late']} after the first of their deliveries")
    assert late[0]["late"] < timedelta(seconds=3)
