"""A receiver that fails again and again is left alone for a while; its pages go elsewhere."""

from datetime import timedelta
from typing import Any

from responder.domain.settings import Receiver, Route
from responder.pipeline.deliver import CIRCUIT_FAILURES, CIRCUIT_OPEN, deliver
from tests.house import House
from tests.pipeline.test_deliver import FLAKY, GONE, SECOND, fell_back, paged, pages, with_fallback

CIRCUIT_IS_OPEN = "its circuit is open"


def circuit(house: House, name: str = "pager") -> dict[str, Any]:
    (row,) = house.sql("SELECT * FROM receiver WHERE name = %s", name)
    return row


def test_five_failures_in_a_row_open_the_circuit_and_one_success_closes_it(house: House) -> None:
    house.with_settings(receivers={"hook": Receiver("hook", "webhook", per_minute=100)})
    house.hook.fails = FLAKY
    for number in range(CIRCUIT_FAILURES + 3):
        paged(house, f"Odd{number}")
    while deliver(house.services, page=False):
        pass
    opened = circuit(house, "hook")
    assert opened["failures"] >= CIRCUIT_FAILURES
    assert opened["open_until"] is not None

    house.later(timedelta(seconds=10))
    assert deliver(house.services, page=False) == 0, "it is left alone"
    house.later(CIRCUIT_OPEN)
    assert deliver(house.services, page=False) == 1, "tried with one message"
    assert deliver(house.services, page=False) == 0, "and left alone again"
    house.hook.fails = None
    house.later(CIRCUIT_OPEN + SECOND)
    assert deliver(house.services, page=False) == 1
    assert (circuit(house, "hook")["failures"], circuit(house, "hook")["open_until"]) == (0, None)
    house.later(timedelta(minutes=2))
    house.send()
    assert len(house.hook.got) == CIRCUIT_FAILURES + 3


def test_once_it_takes_a_message_all_that_waited_to_try_it_again_leaves(house: House) -> None:
    """After an hour of silence each has a pause of its own, the longest ten minutes."""
    house.with_settings(receivers={"hook": Receiver("hook", "webhook", per_minute=100)})
    house.hook.fails = FLAKY
    for number in range(3):
        paged(house, f"Odd{number}")
    for _ in range(12):
        house.later(timedelta(minutes=5))
        deliver(house.services, page=False)
    (longest,) = house.sql(
        "SELECT max(due_at) - clock_timestamp() - %s AS pause FROM notification WHERE NOT page",
        house.services.store.offset,
    )
    assert longest["pause"] > timedelta(minutes=1)
    house.hook.fails = None
    paged(house, "New")
    house.later(CIRCUIT_OPEN)
    deliver(house.services, page=False)
    assert len(house.hook.got) == 1, "one message is the first to be taken"
    house.later(CIRCUIT_OPEN + SECOND)
    house.send()
    assert len(house.hook.got) == 4
    assert circuit(house, "hook")["failures"] == 0


def test_what_alone_is_not_taken_keeps_its_pause(house: House) -> None:
    """Else it would be tried after each of the others, and given up in minutes."""
    house.with_settings(receivers={"hook": Receiver("hook", "webhook", per_minute=100)})
    paged(house, "Odd")
    house.hook.fails = FLAKY
    house.sql("UPDATE notification SET attempts = 4 WHERE NOT page")
    deliver(house.services, page=False)
    (before,) = house.sql("SELECT due_at FROM notification WHERE NOT page")
    house.hook.fails = None
    paged(house, "New")
    deliver(house.services, page=False)
    assert len(house.hook.got) == 1
    assert before in house.sql("SELECT due_at FROM notification WHERE NOT page AND status = 'due'")


def test_behind_an_open_circuit_a_page_goes_to_the_fallback_at_once(house: House) -> None:
    with_fallback(house)
    house.pager.fails = FLAKY
    for number in range(CIRCUIT_FAILURES):
        paged(house, f"Odd{number}")
        deliver(house.services, page=True)
    assert circuit(house)["open_until"] is not None
    failed = circuit(house)["failed"]
    before = len(house.hook.got)
    paged(house, "Last")
    deliver(house.services, page=True)
    assert [message.document["incident"]["title"] for message in house.hook.got[before:]] == [
        "Last in the shop"
    ]
    assert fell_back(house)[-1] == ("pager", "hook", CIRCUIT_IS_OPEN)
    (waits,) = house.sql(
        "SELECT n.* FROM notification n JOIN incident i ON i.id = n.incident_id"
        " WHERE n.receiver = 'pager' AND i.title LIKE 'Last%%'"
    )
    assert (waits["status"], waits["attempts"]) == ("due", 0)

    house.pager.fails = None
    house.later(timedelta(seconds=61))
    house.send()
    assert circuit(house)["failures"] == 0
    assert circuit(house)["failed"] >= failed
    assert {message.document["incident"]["title"] for message in house.pager.got} == {
        message.document["incident"]["title"] for message in house.hook.got
    }, "who could not be reached hears it too"
    assert pages(house) == {"pager": "sent", "hook": "sent"}


def test_a_page_without_a_fallback_is_tried_though_the_circuit_is_open(house: House) -> None:
    house.with_settings(routes=(Route(("pager",), page=True),))
    paged(house)
    house.pager.fails = FLAKY
    for _ in range(CIRCUIT_FAILURES):
        house.later(timedelta(seconds=31))
        deliver(house.services, page=True)
    assert circuit(house)["open_until"] is not None
    house.pager.fails = None
    paged(house, "Another")
    deliver(house.services, page=True)
    assert "Another in the shop" in [
        message.document["incident"]["title"] for message in house.pager.got
    ]


def test_a_refusal_for_good_is_the_messages_fault_and_opens_no_circuit(house: House) -> None:
    house.pager.fails = GONE
    for number in range(CIRCUIT_FAILURES + 1):
        paged(house, f"Odd{number}")
        deliver(house.services, page=True)
    assert house.sql("SELECT FROM receiver WHERE failures > 0") == []
