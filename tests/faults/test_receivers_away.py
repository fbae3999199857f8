"""Every receiver is away for an hour and comes back: each incident is told, once and as it is.

The hour is driven; the receivers are the shipped ones, the ways of being away are real.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from responder.cli.demo.stand_in import StandIn
from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Incident, IncidentStatus, dedup_key
from responder.domain.secret import Secret
from responder.domain.settings import Contact, Level, Receiver, Route
from responder.domain.severity import Severity
from responder.pipeline.people import acknowledge
from responder.receivers import RECEIVERS
from responder.store import StoreAway
from tests.faults.door import WAYS, Door, certified, opened
from tests.house import House, alert
from tests.stand_in import SECRET

LONG = "TORTURE" in os.environ
ANN = Actor(ActorKind.PERSON, "ann")
MINUTE = timedelta(minutes=1)
#: Whoever is on call, his fallback, the next levels, and who follows everything.
NAMES = ("pager", "second", "lead", "admin", "hook")
PER_MINUTE = {"pager": 100, "second": 100, "lead": 20, "admin": 20, "hook": 20}
CROWD = 40
#: The steps of the hour; each attempt at who is silent takes its real time.
SLOWLY = timedelta(minutes=2 if LONG else 5)


@dataclass
class Away:
    """A house, and by name the doors of its receivers and what stands behind them."""

    house: House
    doors: Mapping[str, Door]
    behind: Mapping[str, StandIn]

    def got(self, name: str) -> list[dict[str, Any]]:
        """What a receiver has, in order."""
        kind = "pagerduty" if name == "pager" else "webhook"
        return list(self.behind[name].received()[kind])

    def pass_by(self, minutes: int, step: timedelta = timedelta(seconds=30)) -> None:
        """Time in which the watches do their work."""
        for _ in range(int(minutes * MINUTE / step)):
            with suppress(StoreAway):  # on a busy machine, as it is for a watch: the rows wait
                self.house.settle()
            self.house.later(step)

    def told(self, name: str) -> dict[str, list[str]]:
        """By the id of each incident what a receiver heard of it one by one, in order."""
        heard: dict[str, list[str]] = {}
        for message in self.got(name):
            if message["type"].startswith("incident."):
                happening = message["type"].removeprefix("incident.")
                heard.setdefault(message["data"]["incident"]["id"], []).append(happening)
        return heard

    def paged(self) -> dict[str, list[str]]:
        """The same of the pager, by the key of the incident, with its round."""
        heard: dict[str, list[str]] = {}
        for event in self.got("pager"):
            heard.setdefault(event["dedup_key"], []).append(event["event_action"])
        return heard

    def summaries(self, name: str) -> list[dict[str, Any]]:
        return [
            message["data"]["summary"]
            for message in self.got(name)
            if message["type"] == "messages.summary"
        ]

    def most_in_a_minute(self, name: str) -> int:
        told = [datetime.fromisoformat(message["at"]) for message in self.got(name)]
        times = sorted(each.timestamp() for each in told)
        return max((sum(at <= t < at + 60 for t in times) for at in times), default=0)

    def waiting(self) -> list[dict[str, Any]]:
        return self.house.sql(
            "SELECT receiver, happening, page, status, attempts, error FROM notification"
            " WHERE status NOT IN ('sent', 'superseded')"
        )


@pytest.fixture
def away(
    make_house: Callable[..., House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bool], Away]]:
    house = make_house(())

    def clock() -> float:
        return time.time() + house.services.store.offset.total_seconds()

    context, authority = certified(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    (tmp_path / "webhook").write_text(SECRET)
    (tmp_path / "pager").write_text("0" * 32)
    with ExitStack() as stack:

        def made(tls: bool) -> Away:
            behind = {name: stack.enter_context(StandIn([SECRET], clock)) for name in NAMES}
            urls = [each.url for each in behind.values()]
            doors = stack.enter_context(opened(*urls, tls=context if tls else None))
            by_name = dict(zip(NAMES, doors, strict=True))
            _use(house, by_name, tmp_path)
            return Away(house, by_name, behind)

        yield made


def _use(house: House, doors: Mapping[str, Door], folder: Path) -> None:
    secret = Secret((f"file:{folder}/webhook",))
    receivers = {
        name: Receiver(name, "webhook", f"{door.url}/webhook", secret, per_minute=PER_MINUTE[name])
        for name, door in doors.items()
    }
    receivers["pager"] = Receiver(
        "pager",
        "pagerduty",
        doors["pager"].url,
        Secret((f"file:{folder}/pager",)),
        per_minute=PER_MINUTE["pager"],
        fallback="second",
    )
    built = {name: RECEIVERS[each.type](each) for name, each in receivers.items()}
    house.services = replace(house.services, receivers=built)
    house.with_settings(
        receivers=receivers,
        contacts={
            "lead": Contact("lead", "Lead", ("lead",)),
            "admin": Contact("admin", "Admin", ("admin",)),
        },
        levels=(
            Level(2, receivers=("pager",)),
            Level(3, contacts=("lead",)),
            Level(4, contacts=("admin",), severities=(Severity.P0,)),
        ),
        routes=(Route(("pager",), page=True), Route(("hook",))),
    )


def named(house: House, name: str) -> Incident:
    (found,) = (each for each in house.incidents() if each.title.startswith(f"{name} "))
    return found


def an_hour(away: Away, step: timedelta) -> None:
    """P0 and P1 that stay, end, are taken, and flap; others; and a crowd of P3 in the middle."""
    house = away.house
    graves = [alert(name, severity="critical") for name in ("Stays", "Ends", "Taken", "Flaps")]
    house.post(*graves, alert("Grave", severity="error"), alert("Ends2", severity="warning"))
    away.pass_by(10, step)
    acknowledge(house.services, named(house, "Taken").id, ANN)
    house.post(_ended(house, "Ends", "critical"), _ended(house, "Flaps", "critical"))
    house.post(_ended(house, "Ends2", "warning"))
    away.pass_by(5, step)
    house.post(alert("Flaps", severity="critical", starts_at=_now(house)))
    away.pass_by(15, step)
    house.post(*(alert(f"Crowd{number}", severity="info") for number in range(CROWD)))
    away.pass_by(30, step)


def _now(house: House) -> datetime:
    return datetime.now(UTC) + house.services.store.offset


def _ended(house: House, name: str, severity: str) -> dict[str, Any]:
    return {
        **alert(name, status="resolved", severity=severity),
        "endsAt": _now(house).isoformat(),
    }


@pytest.mark.parametrize("way", WAYS if LONG else ("refused",))
def test_an_hour_without_any_receiver(
    away: Callable[[bool], Away], way: str, told: Callable[[str], None]
) -> None:
    site = away(way == "no TLS")
    house = site.house
    for door in site.doors.values():
        door.fail(way)
    an_hour(site, SLOWLY)
    assert not any(site.got(name) for name in NAMES)
    assert all(door.tried for door in site.doors.values()) or way == "refused"
    counts = Counter((each["receiver"], each["page"]) for each in site.waiting())
    told(f"{way}: tried {[door.tried for door in site.doors.values()]}, waiting {dict(counts)}")
    climbed = house.sql("SELECT count(*) AS steps FROM audit_event WHERE what = 'escalation'")
    assert climbed[0]["steps"] > 10, "the escalation goes on, whoever can be reached"
    assert not house.sql("SELECT FROM notification WHERE status = 'dead'")

    for door in site.doors.values():
        door.heal()
    site.pass_by(4, timedelta(seconds=4))
    told(f"{ {name: len(site.got(name)) for name in NAMES} } in four minutes")
    assert site.waiting() == [], "nothing is forgotten"
    for name in NAMES:
        assert site.most_in_a_minute(name) <= PER_MINUTE[name], "no flood"
        assert not site.behind[name].received()["refused"]
    for name in NAMES[1:]:
        ids = [message["id"] for message in site.got(name)]
        assert len(ids) == len(set(ids)), "nothing is told twice"
        for heard in site.told(name).values():
            # The next step of a P0 that nobody has falls into these minutes.
            climbs = heard[-1] == "opened" and name in ("lead", "admin")
            assert len(heard) - climbs <= len(set(heard)), (name, heard)
    by_key = {dedup_key(each.key, 0): each for each in house.incidents()}
    paged = site.paged()
    told(str({by_key[key[:42]].title + key[42:]: heard for key, heard in paged.items()}))
    graves = [each for each in by_key.values() if each.severity.pages]
    assert {key[:42] for key in paged} == {dedup_key(each.key, 0) for each in graves}
    # Each attempt at who is silent takes its time, so that an acknowledgement may have run out.
    again = {by_key[key[:42]].title for key in paged if key[42:]}
    assert again <= ({"Taken in the shop"} if way == "silent" else set())
    for key, heard in paged.items():
        assert heard[0] == "trigger" and heard.count("trigger") == 1, "woken once"
        assert ("resolve" in heard) == (by_key[key[:42]].status == IncidentStatus.RESOLVED)
    _all_are_told(site)


def _all_are_told(site: Away) -> None:
    """One by one as they are, or counted; and each message that was to leave is one of those."""
    for incident in site.house.incidents():
        last = [
            message["data"]["incident"]["status"]
            for message in site.got("hook")
            if message["data"].get("incident", {}).get("id") == str(incident.id)
        ][-1:]
        assert last in ([], [incident.status.value])
    written = site.house.sql(
        "SELECT incident_id, happening, status, summary_id FROM notification"
        " WHERE receiver = 'hook' AND happening <> 'summary'"
    )
    rows = [row for row in written if row["status"] == "sent" or row["summary_id"]]
    untrue = [row["happening"] for row in written if row not in rows]
    # What flaps was not over, and who had it was not heard of again: nobody had heard of either.
    assert set(untrue) <= {"resolved", "acknowledged"}
    assert {row["incident_id"] for row in rows} == {each.id for each in site.house.incidents()}
    counted = sum(each["messages"] for each in site.summaries("hook"))
    singles = sum(map(len, site.told("hook").values()))
    assert singles + counted == len(rows)
    assert counted >= CROWD - PER_MINUTE["hook"]
