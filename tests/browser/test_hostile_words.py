"""Words from anywhere are shown whole and do nothing: of alerts, targets, rules and people."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Console
from tests.house import alert
from tests.small_rules import TABLE, small_rule

ATTACKS = (
    "<script>alert('{}')</script>",
    '"><img src=x onerror="alert(\'{}\')">',
    "'></title><svg/onload=alert('{}')>",
    "{{{{ ''.__class__ }}}}{{% raw %}} {}",
    "</textarea></pre><iframe srcdoc='<script>parent.alert(1)</script>'> {}",
    '<a href="javascript:alert(\'{}\')" style="position:fixed;inset:0">x</a>',
)
#: Whatever could run or cover something, if a word became part of the page.
FOREIGN = "img, iframe, svg[onload], object, embed, base, [onerror], [onload], [style], main script"


def words() -> Iterator[str]:
    """One attack after the other, each with a number of its own."""
    for number in count(1):
        yield ATTACKS[number % len(ATTACKS)].format(f"word-{number}")


@pytest.fixture(scope="module")
def hostile(
    make_console: Callable[..., Console], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Console, list[str]]:
    """A console, and all that stands somewhere on the page of its incident."""
    word = words()
    said = {name: next(word) for name in ("title", "caution", "asks", "row", "state", "line")}
    option = (
        f"""Option("mend", {said["title"]!r}, changes=("thing",), max_rows=5,"""
        f""" verify=Within("2m"), caution={said["caution"]!r}, asks={{"why": {said["asks"]!r}}})"""
    )
    bad = "FROM thing WHERE state <> 'good' AND %(why)s::text IS NOT NULL"
    rule = small_rule(
        tmp_path_factory.mktemp("runbook"),
        options=option,
        statements={
            "wrong": f"SELECT thing.id, state, note AS {_quoted(said['row'])} FROM thing, other"
            " WHERE state <> 'good'",
            "mend_before": f"SELECT id, state {bad} FOR UPDATE",
            "mend": "UPDATE thing SET state = 'good' WHERE state <> 'good'"
            " AND %(why)s::text IS NOT NULL RETURNING *",
            "mend_verify": "SELECT NOT EXISTS (SELECT FROM thing WHERE state <> 'good') AS gone",
        },
    )
    console = make_console(rule)
    console.house.shop.run(TABLE)
    console.house.shop.run("UPDATE thing SET state = %(s)s WHERE id = 1", {"s": said["state"]})
    console.house.shop.run("UPDATE thing SET state = 'good' WHERE id IN (2, 3)")
    console.house.shop.run("INSERT INTO other (note) VALUES (%(s)s)", {"s": said["line"]})
    told = alert("Thing", severity="warning")
    for place in ("labels", "annotations"):
        said |= {f"{place} name": next(word), f"{place} value": next(word)}
        told[place] |= {said[f"{place} name"]: said[f"{place} value"]}
    said |= {"summary": next(word), "fingerprint": next(word)}
    told["annotations"]["summary"] = said["summary"]
    told["annotations"]["runbook_url"] = "javascript:alert('runbook')"
    told["annotations"]["dashboard_url"] = "https://x.example/\"onmouseover=\"alert('url')"
    told["generatorURL"] = "data:text/html,<script>alert('source')</script>"
    told["fingerprint"] = said["fingerprint"]
    console.house.post(told)
    console.house.settle()
    return console, list(said.values())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%")[:60] + '"'


def unfold(page: Page) -> str:
    """All that the page says, with everything open, as people read it."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.mouse.move(200, 200)
    assert page.locator(FOREIGN).count() == 0
    told: str = page.evaluate(
        "document.getElementById('main').innerText + ' ' + document.title"
        " + [...document.querySelectorAll('[name^=ask], textarea')].map((each) => each.value)"
    )
    return " ".join(told.split())


def test_nothing_runs_and_nothing_is_cut_off(hostile: tuple[Console, list[str]]) -> None:
    console, said = hostile
    noted = "one\n</textarea><script>alert('note')</script>\n<b onmouseover=alert(1)>two</b>"
    incident = console.house.incident()
    with console.page() as page:
        console.log_in(page)
        assert " ".join(incident.title.split()) in unfold(page)
        page.goto(f"/console/incidents/{incident.id}")
        page.get_by_label("What should the others know?").fill(noted)
        page.get_by_role("button", name="Write").click()
        expect(page.locator("#notes")).to_contain_text("two</b>")
        page.locator("[name='ask.why']").fill("'\"><img src=x onerror=alert(2)>")
        page.get_by_role("button", name="Dry run").click()
        expect(page.get_by_text("at work", exact=True)).to_be_visible()
        console.house.settle()
        expect(page.get_by_text("it would change 1 row")).to_be_visible()
        shown = unfold(page)
        whole = [*said, noted, "'\"><img src=x onerror=alert(2)>"]
        assert [each for each in whole if " ".join(each.split())[:60] not in shown] == []
        assert [each for each in whole if " ".join(each.split()) not in shown] == [said[3]]
        links = page.eval_on_selector_all("main a", "all => all.map((each) => each.protocol)")
        assert set(links) <= {"http:", "https:"}
        expect(page.get_by_role("link", name="Runbook")).to_have_count(0)


def test_what_stands_in_an_address_is_only_text(hostile: tuple[Console, list[str]]) -> None:
    console, _ = hostile
    with console.page() as page:
        console.log_in(page)
        for attack in ATTACKS:
            page.goto("/console/?q=" + page.evaluate("(q) => encodeURIComponent(q)", attack))
            expect(page.get_by_label("Part of a title")).to_have_value(attack)
            assert page.locator(FOREIGN).count() == 0
