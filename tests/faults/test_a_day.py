"""A day of traffic in driven time: nothing grows that is not meant to, and what is over goes.

Each step is some minutes of the day: what senders tell, what people do, every watch and every
walk. The second half of the day is compared with the first. `TORTURE` makes the steps shorter.
"""

import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.settings import Receiver, Route
from responder.pipeline.accept import accept
from responder.pipeline.audit.copies import copy_seals
from responder.pipeline.audit.sealing import seal_events
from responder.pipeline.audit.sources import RuleSources
from responder.pipeline.audit.verify import verify_all
from responder.pipeline.by_hand import Asked, NotBegun, ask
from responder.pipeline.checks import run_checks
from responder.pipeline.dead_man import ping
from responder.pipeline.digest import tell_digest
from responder.pipeline.images import encrypt_images
from responder.pipeline.maintenance import Window, open_window
from responder.pipeline.numbers import count_day
from responder.pipeline.people import acknowledge, close, note
from responder.pipeline.raw import encrypt_bodies
from responder.pipeline.recurring import Planner
from responder.pipeline.retention import retain
from responder.pipeline.secrets import note_secrets
from responder.sources import Request
from responder.store import StoreAway
from responder.worker import sweep, tidy
from tests.audit.conftest import make_settings
from tests.faults.long import only_in_torture
from tests.house import House, alert
from tests.senders import GENERIC, sources, told
from tests.small_rules import TABLE, small_rule
from tests.undoing import undoable

LONG = "TORTURE" in os.environ
STEP = timedelta(minutes=2 if LONG else 30)
HALF = timedelta(hours=12)
ANN = Actor(ActorKind.PERSON, "ann")
#: As autovacuum's own: rows that are dead, beside a share of all.
DEAD, SHARE = 50, 0.2


#: Bytes by which a table that is a queue may differ from hour to hour.
PAGES = 256 * 1024
#: What is kept on purpose, for as long as the settings say.
HISTORY = (
    *("alert", "answer", "audit_event", "condition", "decision", "delivery", "fix", "incident"),
    *("maintenance", "note", "notification", "raw_body", "seal", "idempotency_key", "day"),
)


@dataclass
class Standing:
    """What there is at a moment of the day, when all is done that was to be done."""

    deliveries: int
    objects: int
    threads: int
    files: int
    ours: int
    target: int
    folder: int
    rows: dict[str, int]
    bytes: dict[str, int]

    def width(self, name: str) -> float:
        """Bytes for each row of a table."""
        return self.bytes[name] / max(1, self.rows[name])


@dataclass
class Day:
    """The traffic of a day."""

    house: House
    folder: Path
    ticks: list[Callable[[Any], object]] = field(default_factory=list)
    step: int = 0
    deliveries: int = 0

    def __post_init__(self) -> None:
        self.ticks = [
            *(ping, note_secrets, Planner(), sweep, tidy, encrypt_bodies, encrypt_images),
            *(run_checks, tell_digest, count_day, retain, RuleSources(), seal_events, copy_seals),
        ]

    def go_on(self, duration: timedelta) -> None:
        for _ in range(duration // STEP):
            self._senders()
            self._work()
            self._people()
            self._work()
            for tick in self.ticks:
                tick(self.house.services)
            self.house.later(STEP)
            self.step += 1
            self._vacuum()

    def _work(self) -> None:
        with suppress(StoreAway):  # on a busy machine, as it is for a watch: the rows wait
            self.house.settle()

    def every(self, hours: float, at: float = 0) -> bool:
        """Whether something that happens so often happens in this step."""
        steps = max(1, int(timedelta(hours=hours) / STEP))
        return self.step % steps == int(at * steps)

    def post(self, *alerts: dict[str, Any]) -> None:
        self.deliveries += 1
        self.house.post(*alerts)

    def _senders(self) -> None:
        now = datetime.now(UTC) + self.house.services.store.offset
        # what stays is told again and again, with the same time
        self.post(*(alert("Stays", severity="info", instance=f"{n}") for n in range(10)))
        self.post(alert("Noise", severity="info", shard=f"{self.step}", starts_at=now))
        self.post(self._ended(alert("Noise", severity="info", shard=f"{self.step - 4}")))
        flaps = alert("Flaps", severity="warning", starts_at=now)
        self.post(flaps if self.step % 2 else self._ended(flaps))
        self._generic(f"msg_{self.step}")
        if self.every(1):
            self.house.shop.run("UPDATE thing SET state = 'bad' WHERE id < 4")
            self.post(alert("Thing", severity="warning", starts_at=now))
        if self.every(1, 0.5):
            self.post(self._ended(alert("Thing", severity="warning")))
        for hours, name, severity in ((2, "Grave", "critical"), (3, "Bad", "error")):
            if self.every(hours):
                self.post(alert(name, severity=severity, starts_at=now))
            if self.every(hours, 0.5):
                self.post(self._ended(alert(name, severity=severity)))
        if self.every(4):
            window = Window("a deploy", ['alertname="Noise"'], duration=timedelta(minutes=30))
            open_window(self.house.services, replace(window, page=False, diagnose=False), ANN)
        if self.every(6):
            self.post(*(alert("Storm", severity="info", instance=f"{n}") for n in range(60)))
            self.post(
                *(self._ended(alert("Storm", severity="info", instance=f"{n}")) for n in range(60))
            )

    def _ended(self, firing: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC) + self.house.services.store.offset
        return {**firing, "status": "resolved", "endsAt": now.isoformat()}

    def _generic(self, identifier: str) -> None:
        """Delivered twice under the same id."""
        body = told(GENERIC.alerts("Odd", severity="info"))
        headers = GENERIC.headers(body, identifier)
        plain = {name.lower(): value for name, value in headers.items()}
        for _ in range(2):
            self.deliveries += 1
            accept(self.house.services, GENERIC.name, Request(plain, body, datetime.now(UTC)))

    def _people(self) -> None:
        services = self.house.services
        rows = self.house.sql(
            "SELECT id, rule, decision_id, severity FROM incident WHERE status = 'open'"
            " ORDER BY opened_at DESC LIMIT 20"
        )
        for row in rows:
            if row["severity"] == "P0":
                acknowledge(services, row["id"], ANN)
                note(services, row["id"], ANN, "On it.")
            if row["rule"] and self.every(2):
                asked = Asked(row["id"], "mend", row["decision_id"], {}, True, f"key-{self.step}")
                try:
                    ask(services, asked, ANN, "operator")
                except NotBegun:
                    continue
        if self.every(2) and rows and not rows[-1]["rule"]:
            close(services, rows[-1]["id"], ANN)

    def _vacuum(self) -> None:
        """What autovacuum would do by now, whose own clock is not driven."""
        with psycopg.connect(self.house.services.store.url, autocommit=True) as connection:
            connection.execute("SELECT pg_stat_clear_snapshot()")
            rows = connection.execute(
                "SELECT format('%%I.%%I', schemaname, relname) FROM pg_stat_user_tables"
                " WHERE n_dead_tup > %s + %s * n_live_tup",
                [DEAD, SHARE],
            ).fetchall()
            for (table,) in rows:
                connection.execute(f"VACUUM {table}")

    def stands(self) -> Standing:
        for receiver in (self.house.pager, self.house.hook):
            receiver.got.clear()  # what they remember is not ours
        gc.collect()
        sizes = self.house.sql(
            "SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN ('responder', 'responder_jobs') AND c.relkind = 'r'"
        )
        names = [row["name"] for row in sizes]
        counts = {
            name: self.house.sql(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in names
        }
        return Standing(
            self.deliveries,
            len(gc.get_objects()),
            threading.active_count(),
            len(os.listdir("/proc/self/fd")),
            *(self._sessions(name) for name in (self._database(), self.house.shop.name)),
            sum(1 for _ in self.folder.rglob("*")),
            counts,
            {row["name"]: row["bytes"] for row in sizes},
        )

    def _database(self) -> str:
        return str(self.house.sql("SELECT current_database() AS name")[0]["name"])

    def _sessions(self, database: str) -> int:
        (row,) = self.house.sql(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = %s", database
        )
        return int(row["n"])


@pytest.fixture
def day(make_house: Callable[..., House], tmp_path: Path) -> Day:
    rule = small_rule(tmp_path, **undoable())
    seal = replace(make_settings(tmp_path), every=timedelta())
    house = make_house([rule], seal=seal)
    house.shop.run(TABLE)
    house.promote(rule)
    receivers = {name: Receiver(name, "webhook", per_minute=100) for name in ("pager", "hook")}
    known = {**house.services.settings.sources, GENERIC.name: sources(tmp_path)[GENERIC.name]}
    house.with_settings(
        receivers=receivers,
        sources=known,
        routes=(Route(("pager",), page=True), Route(("hook",))),
        digest=("hook",),
    )
    return Day(house, tmp_path)


@only_in_torture
def test_a_day(day: Day, told: Callable[[str], None]) -> None:
    day.go_on(HALF / 2)  # what is made once is there
    began = day.stands()
    day.go_on(HALF)
    middle = day.stands()
    day.go_on(HALF)
    ended = day.stands()
    for name in ("deliveries", "objects", "threads", "files", "ours", "target", "folder"):
        told(f"{name}: {[getattr(each, name) for each in (began, middle, ended)]}")
    for name in sorted(ended.rows):
        each = [(s.rows.get(name, 0), s.bytes.get(name, 0) // 1024) for s in (began, middle, ended)]
        told(f"{name}: {each}")

    second = ended.deliveries - middle.deliveries
    assert second > 100
    assert ended.objects - middle.objects < second, "each delivery leaves something in memory"
    for name in ("threads", "files", "ours", "target", "folder"):
        first = max(getattr(began, name), getattr(middle, name))
        assert getattr(ended, name) <= first, f"{name} grow"
    # partitions of later days come and go with the days
    lasting = [name for name in ended.rows if name in middle.rows]
    queues = [name for name in lasting if not name.startswith(HISTORY)]
    more = {
        n: (middle.rows[n], ended.rows[n]) for n in queues if ended.rows[n] > middle.rows[n] + 10
    }
    assert not more, "rows that nobody needs any more stay"
    larger = {
        n: (middle.bytes[n], ended.bytes[n])
        for n in queues
        if ended.bytes[n] > middle.bytes[n] + PAGES
    }
    assert not larger, "what is deleted leaves its room behind"
    history = [name for name in lasting if name.startswith(HISTORY) and middle.rows[name] > 50]
    wider = {
        n: (middle.width(n), ended.width(n))
        for n in history
        if ended.width(n) > 1.3 * middle.width(n)
    }
    assert not wider, "what is changed leaves its room behind"
    with day.house.services.store.snapshot() as tx:
        assert verify_all(tx, day.house.services.settings.seal).troubles == []
    assert day.house.gap() == (0, 0)


@only_in_torture
def test_what_is_over_goes(day: Day) -> None:
    """A month later: bodies, keys, exact rows, answers, jobs, timers of all that has ended."""
    day.house.later(timedelta(days=-33))  # our database drops nothing young, whatever we say
    day.house.sql("UPDATE housekeeping SET tidied_at = '-infinity'")  # partitions of that time
    tidy(day.house.services)
    day.go_on(HALF / 2 + timedelta(minutes=30))  # questions are tidied away once an hour
    before = day.stands().rows
    day.house.later(timedelta(days=32))
    day.go_on(timedelta(hours=1))
    for _ in range(5):
        retain(day.house.services)
    after = day.stands().rows
    for kind in ("raw_body", "delivery", "idempotency_key", "question", "fix_image"):
        was, left = (
            sum(n for name, n in rows.items() if name.startswith(kind)) for rows in (before, after)
        )
        assert was > 0, kind
        assert left <= max(1, was / 3), (kind, was, left)  # the last hour may have asked one
    (jobs,) = day.house.sql("SELECT count(*) AS n FROM procrastinate_jobs")
    assert jobs["n"] == 0
    assert not day.house.sql(
        "SELECT FROM timer t JOIN incident i ON i.id = t.incident_id WHERE i.stage = 'done'"
        " AND what <> 'reopen'"
    )
