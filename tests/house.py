"""A whole responder in one process: real databases, the real pipeline, a clock that can be moved.

Jobs are taken from the real queue and run here, one after the other, so that a test sees each step.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg.pq import ExecStatus
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from responder import __version__
from responder.app import make_log
from responder.domain.decision import Autonomy
from responder.domain.incident import Incident
from responder.domain.matcher import parse_matcher
from responder.domain.notification import Message
from responder.domain.numbers import exact
from responder.domain.review import ReviewSettings
from responder.domain.secret import Secret
from responder.domain.settings import Receiver, Route, Settings, Source, Target, VaultSettings
from responder.pipeline import walk
from responder.pipeline.accept import Accepted, accept
from responder.pipeline.deliver import deliver
from responder.pipeline.document import document
from responder.pipeline.drain import Drain
from responder.pipeline.held import take_up_held
from responder.pipeline.pages import page_stuck, triage_due
from responder.pipeline.raw import body_of
from responder.pipeline.services import Services
from responder.pipeline.timers import fire_timers
from responder.pipeline.window_states import move_windows
from responder.receivers import Undelivered
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule
from responder.sources import Request
from responder.store import SEARCH_PATH, Store, StoreAway
from responder.store.bell import Bell
from responder.store.incidents import incident_from_row
from responder.store.slots import Slots
from responder.store.vault import Vault, new_key
from tests.senders import PAGERDUTY, Sender, sources, told
from tests.sessions import Sessions
from tests.shop import Shop

BEARER = "the-source-token"


@dataclass
class Recorder:
    """A receiver that keeps what it gets; `fails` is raised instead, if set. tried: how often."""

    got: list[Message] = field(default_factory=list)
    fails: Undelivered | None = None
    tried: int = 0

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        self.tried += 1
        if self.fails is not None:
            raise self.fails
        self.got.append(message)

    def happenings(self) -> list[str]:
        return [message.happening.value for message in self.got]


@dataclass
class House:
    """What a test does with a responder and its shop."""

    services: Services
    shop: Shop
    pager: Recorder
    hook: Recorder
    sessions: Sessions

    def post(self, *alerts: Mapping[str, Any], source: str = "prometheus") -> Accepted:
        """An Alertmanager webhook with these alerts, through the real door."""
        status = "firing" if any(a.get("status") == "firing" for a in alerts) else "resolved"
        body = {"version": "4", "groupKey": "{}", "status": status, "alerts": list(alerts)}
        headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
        return accept(
            self.services, source, Request(headers, json.dumps(body).encode(), datetime.now(UTC))
        )

    def tell(
        self, sender: Sender, folder: Path, name: str, severity: str = "warning", **labels: str
    ) -> Accepted:
        """An alert as this sender sends and signs it; folder: for the sender's secret.

        PagerDuty has no labels: they stand in the title, where its pattern finds them.
        """
        source, title = sources(folder)[sender.name], name
        if sender is PAGERDUTY:
            title = " ".join((name, *labels.values()))
            groups = "".join(f" (?P<{label}>\\S+)" for label in labels)
            pattern = re.compile(rf"^(?P<alertname>\w+){groups}$")
            source = replace(source, title_pattern=pattern, labels={"env": "production"})
        self.with_settings(
            sources={**self.services.settings.sources, sender.name: source},
            receivers={each: Receiver(each, "webhook") for each in self.services.receivers},
        )
        body = told(sender.alerts(title, severity=severity, **labels))
        headers = {key.lower(): value for key, value in sender.headers(body).items()}
        return accept(self.services, sender.name, Request(headers, body, datetime.now(UTC)))

    def later(self, duration: timedelta) -> None:
        """The clock of our database moves on."""
        self.services.store.offset += duration

    def jobs(self) -> list[dict[str, Any]]:
        """Jobs that wait, the most urgent first."""
        return self.sql(
            "SELECT id, task_name, args FROM responder_jobs.procrastinate_jobs"
            " WHERE status = 'todo' ORDER BY priority DESC, id"
        )

    def run_jobs(self) -> None:
        """Run what is queued until nothing is left, as a worker would."""
        while self.run_triage() or self.run_walks():
            pass

    def run_triage(self) -> int:
        """Triage all that waits; returns how many deliveries it took."""
        return sum(iter(Drain(self.services).once, 0))

    def run_walks(self) -> int:
        """Run the walks that are queued; returns how many."""
        return self._run("walk", lambda args: walk(self.services, UUID(args["incident"]), 0))

    def _run(self, task: str, work: Callable[[dict[str, str]], object]) -> int:
        jobs = [job for job in self.jobs() if job["task_name"] == task]
        for job in jobs:
            self.sql("DELETE FROM responder_jobs.procrastinate_jobs WHERE id = %s", job["id"])
            work(job["args"])
        return len(jobs)

    def watch(self) -> None:
        """One tick of the watch that each web and worker process runs."""
        triage_due(self.services)
        page_stuck(self.services)
        deliver(self.services, page=True)
        fire_timers(self.services)
        with suppress(StoreAway):  # each has a loop of its own, that goes on
            self.mind_windows()

    def mind_windows(self) -> None:
        """Windows move on, and what they kept back is taken up."""
        move_windows(self.services)
        take_up_held(self.services)

    def settle(self) -> None:
        """Jobs, timers that are due, and messages."""
        triage_due(self.services)
        page_stuck(self.services)
        self.run_jobs()
        fire_timers(self.services)
        self.mind_windows()
        self.run_jobs()
        self.send()

    def send(self) -> None:
        """Deliver everything that is due, as a watch does, which comes again after a hush."""
        while (
            deliver(self.services, page=True) + deliver(self.services, page=False)
            or self._waits_for_a_hush()
        ):
            pass

    def _waits_for_a_hush(self) -> bool:
        """On a busy machine our database is silent for a moment now and then, and pages wait."""
        keep, late_at = self.services.keep, self.services.store.late_at
        hushed = keep.clock is time.monotonic and keep.hushed(late_at)
        time.sleep(0.05 if hushed else 0)
        return hushed

    def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """What stands in our database."""
        with self.sessions.one(self.services.store.url) as connection, connection.transaction():
            set_json_loads(exact, connection)
            cursor = connection.execute(statement, parameters or None)
            # a SELECT of no columns has rows, too, though no description
            told = cursor.pgresult and cursor.pgresult.status == ExecStatus.TUPLES_OK
            return cursor.fetchall() if told else []

    def body(self, delivery: UUID) -> bytes | None:
        """The raw body of a delivery, which stands encrypted in our database."""
        with self.services.store.transaction() as tx:
            return body_of(self.services, tx, delivery)

    def incidents(self) -> list[Incident]:
        return [incident_from_row(row) for row in self.sql("SELECT * FROM incident ORDER BY id")]

    def incident(self) -> Incident:
        (only,) = self.incidents()
        return only

    def document(self) -> dict[str, Any]:
        with self.services.store.transaction() as tx:
            found = document(self.services, tx, self.incident().id)
        assert found is not None
        return found

    def decision(self) -> tuple[str, str]:
        """Action and reason of the only incident's standing decision."""
        decision = self.document()["decision"]
        return decision["action"], decision["reason"]

    def trail(self) -> list[tuple[str, str | None]]:
        """What happened to the only incident, as (what, after)."""
        rows = self.sql("SELECT what, after FROM audit_event WHERE what <> 'row' ORDER BY id")
        return [(row["what"], row["after"]) for row in rows]

    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.sql("SELECT outcome FROM alert ORDER BY id")]

    def gap(self) -> tuple[int, int]:
        """Alerts and incidents that promise 1 has lost."""
        with self.services.store.transaction() as tx:
            row = tx.one("ledger")
        return int(row["alerts_gap"]), int(row["incidents_gap"])

    def with_settings(self, **changes: Any) -> None:
        settings = replace(self.services.settings, **changes)
        rules = tuple(self.services.catalogue.rules.values())
        catalogue = Catalogue(rules, settings.targets)
        self.services = replace(self.services, settings=settings, catalogue=catalogue)

    def promote(self, rule: LoadedRule, autonomy: str = "act") -> None:
        """The row alone, also of rules for people only: a trail begins with what a test does."""
        with self.services.store.transaction() as tx:
            tx.run(
                "promote", rule=rule.name, checksum=rule.checksum, autonomy=autonomy, actor="test"
            )


def alert(
    name: str, status: str = "firing", starts_at: datetime | None = None, **labels: str
) -> dict[str, Any]:
    """One alert of Alertmanager's; environment production unless a label says otherwise."""
    now = datetime.now(UTC)
    return {
        "status": status,
        "labels": {"alertname": name, "env": "production", **labels},
        "annotations": {"summary": f"{name} in the shop"},
        "startsAt": (starts_at or now - timedelta(minutes=1)).isoformat(),
        "endsAt": now.isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
    }


@pytest.fixture
def make_house(
    database: str, shop: Shop, rules: Mapping[str, LoadedRule]
) -> Iterator[Callable[..., House]]:
    """A responder over other rules, or with other settings."""
    with building(database, shop, rules) as make:
        yield make


@contextmanager
def building(
    database: str, shop: Shop, rules: Mapping[str, LoadedRule]
) -> Iterator[Callable[..., House]]:
    """What makes houses over these databases, however long they are to stand."""
    opened: list[Services] = []
    sessions = Sessions(row_factory=dict_row, options=f"-c search_path={SEARCH_PATH}")

    def make(loaded: Sequence[LoadedRule] = tuple(rules.values()), **changes: Any) -> House:
        pager, hook = Recorder(), Recorder()
        settings = replace(_settings(), **changes)
        services = Services(
            settings=settings,
            catalogue=Catalogue(loaded, settings.targets),
            store=Store(database, 8, __version__),
            bell=Bell(database),
            slots=Slots(database),
            vault=Vault(settings.vault.keys),
            receivers={"pager": pager, "hook": hook},
            log=make_log(),
        )
        services.store.open()
        opened.append(services)
        return House(services, shop, pager, hook, sessions)

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TEST_TOKEN", BEARER)
        environment.setenv("TEST_VAULT", new_key())
        environment.setenv("TEST_READING", shop.url("responder_reading"))
        environment.setenv("TEST_WRITING", shop.url("responder_writing"))
        environment.setenv("TEST_DIRECT", shop.url("responder_direct"))
        yield make
        sessions.close()
        for services in opened:
            services.slots.close()
            services.store.close()


@pytest.fixture
def house(make_house: Callable[..., House], rules: Mapping[str, LoadedRule]) -> House:
    """A responder with the shipped rules, promoted to act."""
    made = make_house()
    for rule in rules.values():
        made.promote(rule)
    return made


def _settings() -> Settings:
    reading, writing = Secret(("env:TEST_READING",)), Secret(("env:TEST_WRITING",))
    return Settings(
        database=Secret(("env:UNUSED",)),
        token_keys=Secret(("env:UNUSED",)),
        vault=VaultSettings(Secret(("env:TEST_VAULT",))),
        autonomy=Autonomy.ACT,
        sources={
            "prometheus": Source("prometheus", "alertmanager", bearer=Secret(("env:TEST_TOKEN",)))
        },
        targets={
            "shop_eu": Target(
                "shop_eu", "shop", [parse_matcher('env="production"')], reading, writing
            )
        },
        routes=(Route(("pager",), page=True), Route(("hook",))),
        review=ReviewSettings(sample=0),  # which ids are picked would differ from run to run
    )
