"""Senders that send more than they may, and follow their own rules of trying again."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from responder.domain.settings import Receiver
from responder.web import create_app
from tests.house import House
from tests.senders import SENDERS, Sender, sources
from tests.simulated import Simulated

RECEIVERS = {"pager": Receiver("pager", "slack"), "hook": Receiver("hook", "webhook")}
PER_MINUTE = 3
TOLD = [f"Noise{number}" for number in range(10)]


@pytest.fixture
def house(make_house: Callable[..., House], tmp_path: Path) -> House:
    return make_house([], sources=sources(tmp_path, per_minute=PER_MINUTE), receivers=RECEIVERS)


def simulated(house: House, sender: Sender) -> Simulated:
    """Its clock is that of our database."""
    client: FlaskClient = create_app(house.services).test_client()

    def attempt(body: bytes, headers: dict[str, str]) -> tuple[int | None, float]:
        answer = client.post(f"/v1/webhooks/{sender.name}", data=body, headers=headers)
        return answer.status_code, float(answer.headers.get("Retry-After", 0))

    return Simulated(sender, attempt, lambda seconds: house.later(timedelta(seconds=seconds)))


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.name)
def test_a_sender_over_its_limit_loses_nothing_that_it_tries_again(
    house: House, sender: Sender
) -> None:
    one = simulated(house, sender)
    for name in TOLD:
        one.tell(name)
    refused = house.sql("SELECT count(*)::int AS n FROM audit_event WHERE what = 'refused'")
    if sender.type == "grafana":
        assert one.acknowledged == TOLD[:PER_MINUTE]
        assert one.answers == {202: PER_MINUTE, 503: len(TOLD) - PER_MINUTE}
        assert refused == [{"n": 1}], "one event a minute says so"
        while one.failed:  # the next flush tells the current state again
            house.later(timedelta(minutes=1))
            again, one.failed = one.failed, []
            for name in again:
                one.tell(name)
    assert sorted(one.acknowledged) == sorted(TOLD)
    assert one.answers[202] == len(TOLD)
    assert one.answers[503] > 0
    assert set(one.answers) == {202, 503}
    house.settle()
    assert Counter(house.outcomes()) == {"opened": len(TOLD)}
    assert house.gap() == (0, 0)


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.name)
def test_what_wakes_people_is_never_over_the_limit(house: House, sender: Sender) -> None:
    one = simulated(house, sender)
    for name in TOLD:
        assert one.tell(name, severity="critical")
    assert one.answers == {202: len(TOLD)}
