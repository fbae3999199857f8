"""Notices, people, deaths and the clock in any order: what is promised of a fix holds after each.

One process on real databases, with a rule whose every fix leaves its mark on the target.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from responder.domain.actor import Actor, ActorKind
from responder.embedded import LocalPostgres
from responder.pipeline import switch, walk
from responder.pipeline.by_hand import Asked, NotBegun, ask
from responder.pipeline.people import acknowledge, close
from responder.store import Store
from responder.store.slots import Slots
from responder.worker import sweep
from tests.conftest import fresh_database
from tests.faults.worlds import STATEMENTS, TARGET
from tests.house import House, alert
from tests.small_rules import small_rule
from tests.walks import refusing

ANN = Actor(ActorKind.PERSON, "ann")
#: Held while nothing has spoilt it.
VERIFY = "SELECT NOT EXISTS (SELECT FROM thing WHERE id = 2) AS gone"
#: Where a walk can die: our database refuses the row as if the process had ended before it.
DEATHS = [
    ("decision", "true"),
    ("fix", "NEW.status = 'started'"),
    ("fix", "NEW.status = 'recorded'"),
    ("fix", "NEW.status = 'committed' AND NEW.verification = 'waiting'"),
    ("fix", "NEW.status IN ('rolled_back', 'refused', 'unknown')"),
    ("fix", "NEW.verification <> 'waiting'"),
    ("incident", "NEW.stage = 'watch'"),
    ("timer", "true"),
]
SETTLED = ("committed", "rolled_back", "refused", "unknown")


class Life(RuleBasedStateMachine):
    """What happens to one fault and its incident."""

    def __init__(self, moved_in: Callable[[], Any], seen: Counter[str]) -> None:
        super().__init__()
        self._seen = seen
        self._house = moved_in()
        self.house: House = self._house.__enter__()

    @initialize(other=st.booleans())
    def begins(self, other: bool) -> None:
        self.house.post(alert("Other" if other else "Thing", severity="warning", instance="a"))
        self.house.run_triage()

    # What senders say

    @rule(
        severity=st.sampled_from(["info", "warning", "critical", "strange"]),
        host=st.sampled_from("ab"),
    )
    def fires(self, severity: str, host: str) -> None:
        self.house.post(alert("Thing", severity=severity, instance=host))

    @rule(host=st.sampled_from("ab"))
    def is_over(self, host: str) -> None:
        self.house.post(alert("Thing", status="resolved", severity="warning", instance=host))

    @rule(severity=st.sampled_from(["warning", "critical"]), fires=st.booleans())
    def something_else(self, severity: str, fires: bool) -> None:
        status = "firing" if fires else "resolved"
        self.house.post(alert("Other", status=status, severity=severity))

    # What we do

    @rule()
    def triages(self) -> None:
        self.house.run_triage()

    @rule()
    def works(self) -> None:
        self.house.run_triage()
        self.house.watch()
        self.walks()

    @rule()
    def walks(self) -> None:
        with self._never_at_p0():
            self.house.run_walks()

    @rule(death=st.sampled_from(DEATHS), tries=st.integers(0, 3))
    def walks_and_dies(self, death: tuple[str, str], tries: int) -> None:
        """The job comes back when the sweeper finds that nobody has it."""
        jobs = [job for job in self.house.jobs() if job["task_name"] == "walk"]
        with self._never_at_p0(), refusing(self.house, *death):
            for job in jobs:
                self.house.sql("DELETE FROM procrastinate_jobs WHERE id = %s", job["id"])
                with suppress(psycopg.errors.RaiseException):
                    walk(self.house.services, UUID(job["args"]["incident"]), tries)

    @rule()
    def sweeps(self) -> None:
        sweep(self.house.services)

    @rule()
    def watches(self) -> None:
        self.house.watch()

    @rule(minutes=st.sampled_from([1, 11, 40]))
    def time_passes(self, minutes: int) -> None:
        self.house.later(timedelta(minutes=minutes))

    # What people do

    @rule()
    def is_acknowledged(self) -> None:
        for incident in self.house.incidents():
            acknowledge(self.house.services, incident.id, ANN)

    @rule()
    def is_closed(self) -> None:
        for incident in self.house.incidents():
            close(self.house.services, incident.id, ANN)

    @rule(dry_run=st.booleans())
    def is_asked_for(self, dry_run: bool) -> None:
        """Somebody has looked at what we came to."""
        self.works()
        for incident in self.house.incidents():
            asked = Asked(incident.id, "mend", incident.decision_id, dry_run=dry_run)
            with suppress(NotBegun):
                ask(self.house.services, asked, ANN, "operator")

    @rule(on=st.booleans())
    def is_switched(self, on: bool) -> None:
        if on:
            switch.start(self.house.services.store, ANN, "on")
        else:
            switch.stop(self.house.services.store, ANN, "off", patience=0)

    # What the world does

    @rule(spoilt=st.booleans())
    def comes_back_or_goes(self, spoilt: bool) -> None:
        """Whether the cause is there again after a fix."""
        self.house.shop.run(
            "INSERT INTO thing VALUES (2) ON CONFLICT DO NOTHING"
            if spoilt
            else "DELETE FROM thing WHERE id = 2"
        )

    @precondition(lambda self: self.house.services.store.offset > timedelta(minutes=30))
    @rule()
    def ours_fails_over(self) -> None:
        self.house.sql("UPDATE autofix SET timeline = timeline + 1")

    # What holds always

    @contextmanager
    def _never_at_p0(self) -> Iterator[None]:
        """While one is open on the target, or may be, the responder commits nothing."""
        hot = self.house.sql(
            "SELECT FROM incident WHERE severity IN ('P0', 'P1') AND status <> 'resolved'"
            " AND target IS NOT NULL"
        ) + self.house.sql(
            "SELECT FROM delivery WHERE triaged_at IS NULL AND page_due_at IS NOT NULL"
        )
        automatic = self._automatic()
        yield
        assert not hot or self._automatic() == automatic

    def _automatic(self) -> list[dict[str, Any]]:
        return self.house.sql(
            "SELECT id FROM fix WHERE actor_kind = 'responder' AND recorded_at IS NOT NULL"
            " ORDER BY id"
        )

    def _fixes(self) -> list[dict[str, Any]]:
        return self.house.sql("SELECT * FROM fix ORDER BY started_at, id")

    @invariant()
    def one_commit_for_each_decision(self) -> None:
        fixes = self._fixes()
        marks = self.house.shop.rows("SELECT unnest(xids) FROM thing")
        assert len(marks) == len(set(marks))
        made = {fix["xid"]: fix for fix in fixes if fix["xid"] in marks}
        assert len(made) == len(marks), "nothing was changed without a record of it"
        assert {fix["status"] for fix in made.values()} <= {"recorded", "committed", "unknown"}
        assert all(fix["xid"] in marks for fix in fixes if fix["status"] == "committed")
        decisions = Counter(
            fix["decision_id"] for fix in made.values() if fix["actor_kind"] == "responder"
        )
        assert set(decisions.values()) <= {1}
        assert not any(fix["dry_run"] for fix in made.values())

    @invariant()
    def never_ours_at_p0_or_p1(self) -> None:
        severities = {fix["severity"] for fix in self._fixes() if fix["actor_kind"] == "responder"}
        assert severities <= {"P2", "P3"}

    @invariant()
    def every_state_has_its_event(self) -> None:
        events = self.house.sql("SELECT * FROM audit_event ORDER BY id")
        for incident in self.house.incidents():
            own = [event for event in events if event["incident_id"] == incident.id]
            for what in ("stage", "status"):
                told = [event for event in own if event["what"] == what]
                for earlier, later in pairwise(told):
                    assert later["before"] == earlier["after"], (what, earlier, later)
                stands = getattr(incident, what).value
                assert not told or told[-1]["after"] == stands, (what, told[-1], stands)
                assert told or stands in ("diagnose", "open")
        for fix in self._fixes():
            told = [
                event["after"]
                for event in events
                if event["what"] == "fix" and event["details"].get("fix") == str(fix["id"])
            ]
            recorded = ["recorded"] if fix["recorded_at"] else []
            ended = [fix["status"]] if fix["status"] in SETTLED else []
            assert told == ["started", *recorded, *ended]
            verified = [
                event["after"]
                for event in events
                if event["what"] == "verification" and event["details"].get("fix") == str(fix["id"])
            ]
            assert verified == ([fix["verification"]] if fix["verified_at"] else [])

    def teardown(self) -> None:
        """Left to itself, it comes to rest: nothing stays open."""
        try:
            for _ in range(6):
                self.house.later(timedelta(minutes=6))
                sweep(self.house.services)
                self.house.watch()
                self.triages()
                self.walks()
            assert all(fix["status"] in SETTLED for fix in self._fixes())
            assert not [fix for fix in self._fixes() if fix["verification"] == "waiting"]
            assert self.house.gap() == (0, 0)
            self.one_commit_for_each_decision()
            self.every_state_has_its_event()
            self._seen.update(f"{fix['actor_kind']} {fix['status']}" for fix in self._fixes())
        finally:
            self._house.__exit__(None, None, None)


def _statements(number: int) -> dict[str, str]:
    """Of a rule that changes this row alone."""
    marked = {name: sql.replace("id = 1", f"id = {number}") for name, sql in STATEMENTS.items()}
    return {**marked, "mend_verify": VERIFY}


@pytest.fixture
def moved_in(
    cluster: LocalPostgres, template: str, make_house: Callable[..., House], tmp_path: Path
) -> Callable[[], Any]:
    """Each life has a database of ours to itself, and the target as it was."""
    loaded = [
        small_rule(tmp_path, name, statements=_statements(number), cooldown="10m")
        for name, number in (("Thing", 1), ("Other", 3))
    ]
    house = make_house(loaded)
    house.shop.run(TARGET)

    @contextmanager
    def move_in() -> Iterator[House]:
        house.shop.run("DELETE FROM thing")
        house.shop.run("INSERT INTO thing (id) VALUES (1), (3)")
        with fresh_database(cluster, template) as url:
            store, slots = Store(url, 4, "test"), Slots(url)
            store.open()
            new = replace(house, services=replace(house.services, store=store, slots=slots))
            for each in loaded:
                new.promote(each)
            yield new
            slots.close()
            store.close()

    return move_in


def test_any_life(moved_in: Callable[[], Any], told: Callable[[str], None]) -> None:
    seen: Counter[str] = Counter()
    run_state_machine_as_test(
        lambda: Life(moved_in, seen),
        settings=settings(
            max_examples=int(os.environ.get("LIVES", "10")),
            stateful_step_count=20,
            derandomize=True,
            phases=[Phase.generate],  # to shrink what fails takes many minutes
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    told(f"fixes: {dict(seen)}")
    assert {"responder committed", "person committed"} <= seen.keys()
