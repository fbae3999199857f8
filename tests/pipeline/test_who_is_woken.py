"""Whom a rising severity wakes, and what wakes them when something else goes wrong."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from responder.domain.settings import Receiver, Route
from responder.domain.severity import Severity
from responder.pipeline.pages import Watch, deliver_pages, page_stuck, triage_due
from responder.pipeline.services import Services
from responder.store import StoreAway
from tests.house import House, alert
from tests.walks import until

SEVERER = ("error", "critical")  # P1, P0


def rises(house: House) -> None:
    """An incident that nobody's rule answers is told at P1, then at P0."""
    for number, word in enumerate(SEVERER):
        house.post(alert("Odd", severity=word, instance=str(number)))
        house.settle()
        house.later(timedelta(seconds=2))
        house.settle()


@pytest.fixture
def one_incident(start: Callable[..., House]) -> House:
    """Both alerts have one key: that of the small rule."""
    return start(name="Odd")


def test_who_is_paged_for_p0_alone_is_woken_when_a_p1_rises(one_incident: House) -> None:
    house = one_incident
    house.with_settings(
        routes=(
            Route(("hook",), severities=(Severity.P1,), page=True),
            Route(("pager",), severities=(Severity.P0,), page=True),
        )
    )
    rises(house)
    assert house.incident().severity == "P0"
    assert (house.hook.happenings(), house.pager.happenings()) == (["opened"], ["opened"])


def test_who_was_woken_for_the_p1_is_not_woken_again(one_incident: House) -> None:
    house = one_incident
    house.with_settings(
        receivers={"pager": Receiver("pager", "pagerduty", per_minute=100, escalates=True)},
        routes=(Route(("pager",), page=True), Route(("hook",))),
    )
    rises(house)
    house.later(timedelta(minutes=20))
    house.settle()
    assert house.incident().severity == "P0"
    assert house.pager.happenings() == ["opened"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), StoreAway("our database: OutOfMemory")])
def test_a_page_leaves_though_triage_stumbles(house: House, error: Exception) -> None:
    def stumbles(_: Services) -> None:
        raise error

    house.post(alert("DatabaseDown"))
    house.later(timedelta(seconds=2))
    watch = Watch(house.services, stumbles, page_stuck, deliver_pages, every=0.01)
    watch.start()
    until(lambda: house.pager.got)
    watch.stop()
    assert house.pager.happenings() == ["opened"]
    assert house.incidents() == []


def test_one_delivery_that_cannot_be_triaged_holds_up_no_other(house: House) -> None:
    """The first one fails by itself; the second is triaged in the same round."""
    house.sql("ALTER TABLE incident ADD CONSTRAINT broken CHECK (title NOT LIKE 'Data%') NOT VALID")
    house.post(alert("DatabaseDown"))
    house.post(alert("Other", severity="critical"))
    house.later(timedelta(seconds=2))
    triage_due(house.services)
    assert [incident.title for incident in house.incidents()] == ["Other in the shop"]
