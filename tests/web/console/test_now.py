"""The first page: what is open, in which order, what is worth a look, and the switch."""

import re
from collections.abc import Callable
from datetime import timedelta

from tests.house import House, alert
from tests.web.console.conftest import Person

Enter = Callable[[str], Person]


def titles(page: str) -> list[str]:
    return re.findall(r'class="row-link" href="[^"]*">([^<]*)</a>', page)


def test_a_house_in_which_nothing_is_wrong_is_quiet(house: House, person: Enter) -> None:
    page = person("viewer").get("/")
    assert "All quiet" in page
    assert "<strong>prometheus</strong> was never heard of." in page


def test_the_most_severe_stand_first_and_the_rest_on_the_next_page(
    house: House, person: Enter
) -> None:
    for number, word in enumerate(("info", "critical", "warning", "error") * 2):
        house.post(alert(f"Nobody{number}", severity=word))
        house.settle()
        house.later(timedelta(minutes=1))
    viewer = person("viewer")
    shown = titles(viewer.get("/"))
    assert "".join(title[6] for title in shown) == "51736240"
    walked, path = [], "/?limit=3"
    while path:
        page = viewer.get(path)
        walked += titles(page)
        further = re.search(r'rel="next" href="/console([^"]*)"', page)
        path = further[1].replace("&amp;", "&") if further else ""
    assert walked == shown
    assert titles(viewer.get("/?severity=P0")) == [shown[0], shown[1]]
    assert titles(viewer.get("/?q=nobody3")) == ["Nobody3 in the shop"]
    assert titles(viewer.get("/?status=resolved")) == []
    assert sorted(titles(viewer.get("/?status=all"))) == sorted(shown)
    assert "wrong: status." in viewer.get("/?status=strange", 400)


def test_who_stops_fixes_says_why_and_only_an_admin_starts_them(
    house: House, person: Enter
) -> None:
    operator, admin = person("operator"), person("admin")
    for reason in ("", " ", "our_failover", "x" * 501):
        assert operator.post("/autofix/off", reason=reason).status_code == 400
    assert operator.post("/autofix/off", reason="It <i>misbehaves</i>").status_code == 303
    page = operator.get("/")
    assert "It &lt;i&gt;misbehaves&lt;/i&gt;" in page
    assert "autofix/on" not in page
    assert operator.post("/autofix/on", reason="I like it").status_code == 403
    assert "Automatic fixes are off." in admin.get("/")
    assert admin.post("/autofix/on", reason="Mended").status_code == 303
    assert "Automatic fixes are off." not in admin.get("/")
    told = house.sql("SELECT actor, after, details FROM audit_event WHERE what = 'autofix'")
    assert [(row["actor"], row["after"], row["details"]["why"]) for row in told] == [
        ("operator-ann", "off", "It <i>misbehaves</i>"),
        ("admin-ann", "on", "Mended"),
    ]
