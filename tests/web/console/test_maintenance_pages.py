"""Maintenance by forms: announced, ticked, ended, each under a name."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

from responder.domain.settings import Item, RecurringWindow
from tests.house import House
from tests.web.console.conftest import Person

Enter = Callable[[str], Person]
ASKED = {"reason": "A release <b>", "duration": "1h", "watch": "1h", "page": "on"}


def test_a_window_is_announced_ticked_and_ended_by_forms(person: Enter, house: House) -> None:
    operator, viewer = person("operator"), person("viewer")
    assert viewer.post("/maintenance", **ASKED).status_code == 403
    assert "Announce it" not in viewer.get("/maintenance")
    asked = {**ASKED, "matchers": 'env="production"\n\n', "before": "Tell users\nLook", "after": ""}
    done = operator.post("/maintenance", **asked)
    path = done.location.removeprefix("/console")
    page = operator.get(path)
    for shown in ("A release &lt;b&gt;", "env=&#34;production&#34;", "Tell users", "waiting"):
        assert shown in page
    assert "A release &lt;b&gt;" in viewer.get("/maintenance")
    for position in (1, 2):
        assert viewer.post(f"{path}/items/{position}", done="yes").status_code == 403
        ticked = operator.post(f"{path}/items/{position}", done="yes")
        assert ticked.location == f"/console{path}#item-{position}"
    assert "ticked by operator-ann" in viewer.get(path)
    refused = operator.post(f"{path}/items/1", done="no")
    assert refused.status_code == 409
    assert "the window was in force with it" in refused.text
    assert operator.post(f"{path}/items/9", done="yes").status_code == 404
    assert operator.post(f"{path}/items/1", done="perhaps").status_code == 400
    assert viewer.post(f"{path}/end").status_code == 403
    assert operator.post(f"{path}/end").status_code == 303
    page = viewer.get(path)
    assert "ended by operator-ann" in page
    assert "End it now" not in page
    assert [after for what, after in house.trail() if what == "maintenance"][:3] == [
        "announced", "waiting", "ticked"
    ]  # fmt: skip
    viewer.get(f"/maintenance/{uuid4()}", 404)
    assert operator.post(f"/maintenance/{uuid4()}/end").status_code == 404


def test_what_is_wrong_with_a_window_is_said_beside_what_was_typed(
    person: Enter, house: House
) -> None:
    operator = person("operator")
    for change, status, told in (
        ({"reason": " "}, 400, "missing"),
        ({"matchers": "env"}, 400, "env"),
        ({"duration": "soon"}, 400, "write it like 90m or 2h"),
        ({"duration": "31d"}, 409, "longer than 30 days"),
        ({"starts_at": "yesterday"}, 400, '#starts_at">Begins</a>: not a valid'),
        ({"diagnose": "on", "fix": "on"}, 409, "does nothing"),
    ):
        response = operator.post("/maintenance", **{**ASKED, "before": "", **change})
        assert (response.status_code, told.lower() in response.text.lower()) == (status, True), (
            change
        )
    assert 'value="31d"' in operator.post("/maintenance", **{**ASKED, "duration": "31d"}).text
    assert house.sql("SELECT FROM maintenance_window") == []


def test_the_calendar_shows_what_is_and_what_will_be(person: Enter, house: House) -> None:
    weekly = RecurringWindow(
        "weekly-work",
        "the weekly work",
        datetime(2025, 1, 5, 2),
        "FREQ=WEEKLY;BYDAY=SU",
        timedelta(hours=2),
        (),
        before=[Item("look")],
    )
    house.with_settings(windows=(weekly,))
    viewer = person("viewer")
    with house.services.store.transaction() as tx:
        soon = tx.now + timedelta(days=8)
    ahead = viewer.get(f"/maintenance?month={soon:%Y-%m}")
    assert ahead.count("02:00 weekly-work") >= 1
    assert "weekly-work" not in viewer.get("/maintenance?month=2021-02")
    viewer.get("/maintenance?month=2021-13", 400)
