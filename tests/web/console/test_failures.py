"""What goes wrong is a page that helps: what it was, what was written, and the way on."""

import html
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from responder import __version__
from responder.store import Store
from tests.house import House, alert
from tests.web.console.conftest import Person

Enter = Callable[[str], Person]
WRITTEN = "Ten minutes of <b>words</b>"


@pytest.fixture
def place(house: House) -> str:
    """The page of an incident."""
    house.post(alert("Anything"))
    house.settle()
    return f"/console/incidents/{house.incident().id}"


def ways(answer: TestResponse) -> dict[str, str]:
    """Where the page leads to, by the words of the link."""
    main = answer.text.split("<main")[1]
    links = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>([^<]*)</a>', main)
    return {words: html.unescape(path) for path, words in links}


def told_again(answer: TestResponse) -> bool:
    """Whether what was written can be copied from the page."""
    return html.escape(WRITTEN) in answer.text


def write(who: Person, place: str, **headers: str) -> TestResponse:
    form = {"csrf": who.csrf, "text": WRITTEN}
    return who.client.post(f"{place}/notes", data=form, headers=headers)


def test_who_is_not_logged_in_any_more_keeps_their_words(
    house: House, person: Enter, place: str
) -> None:
    operator = person("operator")
    operator.client.delete_cookie("responder")
    answer = write(operator, place)
    assert (answer.status_code, told_again(answer)) == (401, True)
    assert ways(answer)["Log in"] == f"/console/login?next={place}"
    assert house.document()["notes"] == []
    assert "denied" in [what for what, _ in house.trail()]


def test_a_page_of_an_earlier_login_gives_the_words_back(person: Enter, place: str) -> None:
    operator = person("operator")
    operator.csrf = person("operator").csrf
    answer = write(operator, place)
    assert (answer.status_code, told_again(answer)) == (403, True)
    assert ways(answer)["Back to the page"] == place


def test_words_from_another_site_are_not_told(person: Enter, place: str) -> None:
    answer = write(person("operator"), place, **{"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, told_again(answer)) == (403, False)


def test_without_our_database_the_words_are_given_back(
    house: House, person: Enter, place: str
) -> None:
    operator = person("operator")
    nowhere = Store("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1", 1, __version__)
    application = operator.client.application
    application.extensions["responder"] = replace(house.services, store=nowhere)
    answer, page = write(operator, place), operator.client.get("/console/?severity=P1")
    assert (answer.status_code, told_again(answer)) == (503, True)
    assert ways(answer)["Back to the page"] == place
    assert page.status_code == 503
    assert ways(page)["Try again"] == "/console/?severity=P1"


def test_an_address_that_is_no_page(person: Enter, place: str) -> None:
    client = person("viewer").client
    for path, status in (("/console/nothing", 404), (f"{place}/notes", 405)):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype) == (status, "text/html"), path
        assert "style-src 'self'" in answer.headers["Content-Security-Policy"], path
    assert ways(answer)["Back to the page"] == place
    assert client.get("/v1/nothing").mimetype == "application/problem+json"


def test_the_part_that_is_wrong_is_named(person: Enter) -> None:
    answer = person("viewer").client.get("/console/?severity=P9&cursor=zzz")
    assert "Something in the address is missing or wrong: cursor and severity." in answer.text
    assert ways(answer)["Back to the page"] == "/console/"
