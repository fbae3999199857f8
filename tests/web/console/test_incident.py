"""The page of an incident: who may press what, what is pressed once, and what is refused."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.house import House, alert
from tests.web.conftest import EXHAUSTED, approved
from tests.web.console.conftest import Person

Enter = Callable[[str], Person]


@pytest.fixture
def stuck(house: House) -> House:
    """An incident with options that the responder never takes by itself."""
    house.shop.run(EXHAUSTED)
    house.post(alert("ShopifyQueueStuck", severity="critical"))
    house.settle()
    return house


def place(house: House) -> str:
    return f"/incidents/{house.incident().id}"


def form(page: str, option: str) -> Mapping[str, str]:
    """What the form of an option carries; its dry_run is that of the button for real."""
    part = page.split(f'id="option-{option}"')[1].split("</article>")[0]
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', part))
    return {**hidden, "dry_run": "false"}


def made(house: House) -> list[tuple[str, bool]]:
    rows = house.sql("SELECT option, dry_run FROM fix ORDER BY started_at, id")
    return [(row["option"], row["dry_run"]) for row in rows]


def by_people(house: House) -> list[tuple[str, str, str | None]]:
    rows = house.sql(
        "SELECT actor, what, after FROM audit_event WHERE actor_kind = 'person'"
        " AND incident_id IS NOT NULL ORDER BY id"
    )
    return [(row["actor"], row["what"], row["after"]) for row in rows]


DEEDS: Mapping[str, Mapping[str, Any]] = {
    "acknowledge": {},
    "resolve": {},
    "notes": {"text": "I am looking."},
    "reset": {"reason": "I have looked."},
    "review": {"verdict": "useful"},
    "fixes": {"option": "retry_failed", "key": "0" * 32},
    "fixes/00000000-0000-7000-8000-000000000000/undo": {"key": "0" * 32},
}


def test_a_viewer_sees_it_and_presses_nothing(stuck: House, person: Enter) -> None:
    viewer = person("viewer")
    page = viewer.get(place(stuck))
    assert "3 items failed until no retry was left" in page
    assert re.findall(r'<form method="post" action="([^"]*)"', page) == ["/console/logout"]
    for deed, fields in DEEDS.items():
        assert viewer.post(f"{place(stuck)}/{deed}", **fields).status_code == 403, deed
    assert viewer.post("/autofix/off", reason="no").status_code == 403
    assert (made(stuck), by_people(stuck)) == ([], [])


def test_each_deed_of_a_page_of_another_login_is_refused(stuck: House, person: Enter) -> None:
    operator = person("operator")
    operator.csrf = person("operator").csrf
    for deed, fields in DEEDS.items():
        assert operator.post(f"{place(stuck)}/{deed}", **fields).status_code == 403, deed
    assert (made(stuck), by_people(stuck)) == ([], [])


def test_an_incident_that_is_not_there_is_said_to_be_so(stuck: House, person: Enter) -> None:
    operator = person("operator")
    nowhere = "/incidents/00000000-0000-7000-8000-000000000000"
    assert "There is no such incident." in operator.get(nowhere, 404)
    answers = {deed: operator.post(f"{nowhere}/{deed}", **DEEDS[deed]) for deed in DEEDS}
    assert {deed: answer.status_code for deed, answer in answers.items()} == dict.fromkeys(
        DEEDS, 404
    )


def test_a_double_click_makes_one_fix(stuck: House, person: Enter) -> None:
    operator = person("operator")
    told = form(operator.get(place(stuck)), "retry_failed")
    first, second = (operator.post(f"{place(stuck)}/fixes", **told) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.location == second.location
    stuck.settle()
    assert made(stuck) == [("retry_failed", False)]
    page = operator.get(place(stuck))
    assert "changed 3 rows of <code>shopify_sync_queue</code>" in page
    assert '<del><span class="unseen">before: </span>failed</del>' in page
    assert ("operator-ann", "fix", "started") in by_people(stuck)


def test_whoever_looked_at_another_decision_sees_the_difference(
    stuck: House, person: Enter
) -> None:
    operator = person("operator")
    told = dict(form(operator.get(place(stuck)), "retry_failed"))
    del told["seen"]  # there was no decision yet
    answer = operator.post(f"{place(stuck)}/fixes", **told)
    assert answer.status_code == 409
    assert "the responder has decided anew since; see the difference" in answer.text
    assert "P0 and P1 are never fixed automatically; a person decides.</ins>" in answer.text
    assert made(stuck) == []
    again = operator.post(f"{place(stuck)}/fixes", **form(answer.text, "retry_failed"))
    assert again.status_code == 303
    assert made(stuck) == [("retry_failed", False)]


def test_something_dangerous_waits_for_another_person(stuck: House, person: Enter) -> None:
    approved(stuck)  # by ann, for clear_queued
    viewer, admin = person("viewer"), person("admin")
    for page in (viewer.get("/"), viewer.get(place(stuck))):
        assert "second person" in page
    told = admin.get(place(stuck)).split('id="option-clear_queued"')[1].split("</article>")[0]
    assert "it acts as a user of the target" in told  # and its settings do not say as whom
    assert "<form" not in told


def test_what_the_form_lacks_is_told_and_nothing_is_begun(stuck: House, person: Enter) -> None:
    operator = person("operator")
    told = form(operator.get(place(stuck)), "retry_failed")
    for wrong in ({"key": "short"}, {"seen": "no id"}, {"option": ""}, {"dry_run": "perhaps"}):
        assert operator.post(f"{place(stuck)}/fixes", **{**told, **wrong}).status_code == 400
    surplus = operator.post(f"{place(stuck)}/fixes", **{**told, "ask.more": "x"})
    assert surplus.status_code == 400
    assert "the option does not ask for it" in surplus.text
    assert made(stuck) == []


def test_a_page_that_rests_is_not_sent_again(stuck: House, person: Enter) -> None:
    operator = person("operator")
    path = f"/console{place(stuck)}"
    stuck.later(timedelta(minutes=2, seconds=20))  # so that words of minutes rest for a while
    tag = operator.client.get(path).headers["ETag"]
    again = operator.client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    operator.post(f"{place(stuck)}/acknowledge")
    assert operator.client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_verdict_is_said_and_shown(stuck: House, person: Enter) -> None:
    operator = person("operator")
    operator.post(f"{place(stuck)}/resolve")
    answer = operator.post(f"{place(stuck)}/review", verdict="wrong", note="It was <b>late</b>.")
    assert answer.location == f"/console{place(stuck)}#review"
    page = operator.get(place(stuck))
    assert "It was &lt;b&gt;late&lt;/b&gt;." in page
    assert operator.post(f"{place(stuck)}/review", verdict="great").status_code == 400
    assert by_people(stuck)[-1] == ("operator-ann", "review", "wrong")
