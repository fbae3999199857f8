"""Days are counted by the worker, as often as they can change, and shown as bars and as tables."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from responder.domain.review import Verdict
from responder.pipeline.numbers import count_day
from responder.pipeline.people import acknowledge
from responder.pipeline.review import judge
from tests.house import House, alert
from tests.web.conftest import ANN
from tests.web.console.conftest import Person

Enter = Callable[[str], Person]


def count_all(house: House) -> int:
    days = 0
    while count_day(house.services):
        days += 1
    return days


def test_a_day_is_counted_and_its_numbers_are_shown(person: Enter, busy: House) -> None:
    down = next(each for each in busy.incidents() if each.rule == "database_down")
    acknowledge(busy.services, down.id, ANN)
    busy.later(timedelta(minutes=1))
    for status in ("resolved", "firing", "resolved"):
        busy.post(alert("Nobody", status, datetime.now(UTC)))
        busy.settle()
    judge(busy.services, down.id, ANN, Verdict.WRONG)
    viewer = person("viewer")
    assert "are not counted yet" in viewer.get("/numbers")
    assert count_all(busy) == 91
    (row,) = busy.sql("SELECT numbers FROM day_count WHERE numbers -> 'alerts' <> '{}'")
    numbers = row["numbers"]
    assert sum(numbers["alerts"].values()) == len(busy.outcomes())
    assert numbers["rules"]["shopify_queue_stuck"]["incidents"] == 1
    assert numbers["acknowledged"]["n"] == 1
    assert numbers["enriched"]["n"] == 1
    assert numbers["fixes"] == {"held": 1}
    assert numbers["rules"][""] == {"incidents": 1, "alerts": 4, "by_itself": 1, "flaps": 1}
    assert numbers["keys"][0]["alerts"] >= 1
    page = viewer.get("/numbers?days=7")
    assert "are not counted yet" not in page
    assert page.count('role="img"') == page.count("As a table") >= 3
    assert str(down.id) in page
    row = page.split('rules/database_down"')[1].split("</tr>")[0]
    assert row.endswith(
        '<td class="number">0</td><td class="number">1</td><td class="number">0</td>'
    )
    assert "/console/rules/database_down" in page
    viewer.get("/numbers?days=0", 400)
    viewer.get("/numbers?days=many", 400)


def test_today_is_counted_anew_and_what_is_long_over_is_not(house: House) -> None:
    assert count_all(house) == 91
    house.later(timedelta(minutes=2))
    assert count_all(house) in (1, 2)  # midnight may have passed
    house.later(timedelta(hours=2))
    assert 8 <= count_all(house) <= 9
