"""A person answers incidents: by mouse, by keyboard alone, and without JavaScript."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from responder.domain.incident import Incident
from responder.domain.secret import Secret
from responder.domain.settings import Issuer, Login
from responder.web.issuers import Issuers
from tests.audit.conftest import seal_now
from tests.browser.conftest import Console
from tests.provider import AUDIENCE, CLIENT, SECRET, Provider


def incident_of(console: Console, rule: str) -> Incident:
    return next(each for each in console.house.incidents() if each.rule == rule)


def trail(console: Console, incident: Incident) -> list[tuple[str, str, str | None]]:
    """What people did about an incident, by whom."""
    rows = console.house.sql(
        "SELECT actor, what, after FROM audit_event"
        " WHERE incident_id = %s AND actor_kind = 'person' ORDER BY id",
        incident.id,
    )
    return [(row["actor"], row["what"], row["after"]) for row in rows]


def fixes(console: Console, incident: Incident) -> list[tuple[str, bool, bool, str]]:
    rows = console.house.sql(
        "SELECT * FROM fix WHERE incident_id = %s ORDER BY started_at, id", incident.id
    )
    return [
        (row["option"], row["dry_run"], row["undoes"] is not None, row["status"]) for row in rows
    ]


def failed_items(console: Console) -> int:
    rows = console.house.shop.rows(
        "SELECT count(*) FROM shopify_sync_queue WHERE status = 'failed'"
    )
    return int(rows[0])


def work(console: Console, page: Page) -> None:
    """The worker does what was just asked for on the page, and the page was loaded with it."""
    expect(page.get_by_text("at work", exact=True)).to_be_visible()
    page.wait_for_load_state()
    console.house.settle()


def test_by_mouse(console: Console) -> None:
    incident = incident_of(console, "shopify_sync_failed")
    before = failed_items(console)
    with console.page() as page:
        console.log_in(page)
        page.get_by_label("Part of a title").fill("changed prices")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("a.row-link")).to_have_count(1)
        page.get_by_role("link", name=incident.title).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(incident.title)
        expect(page.get_by_text("6 items failed until no retry was left")).to_be_visible()

        option = page.locator("#option-requeue_all")
        option.get_by_role("button", name="Dry run").click()
        work(console, page)
        expect(option.get_by_text("it would change 6 rows")).to_be_visible()  # by itself, live
        assert failed_items(console) == before
        option.get_by_role("button", name="Approve and run").dblclick()
        work(console, page)
        done = page.locator("article", has_text="Fix: requeue_all")
        expect(done.get_by_text("held")).to_be_visible()
        expect(done.locator("del", has_text="failed").first).to_be_visible()
        assert failed_items(console) == before - 6

        done.get_by_role("button", name="Undo", exact=True).click()
        work(console, page)
        expect(page.locator("article", has_text="Undo: requeue_all")).to_contain_text("committed")
        assert failed_items(console) == before
        page.get_by_role("button", name="Resolve").click()
        review = page.locator("#review")
        review.get_by_label("wrong").check()
        review.get_by_label("Why?").fill("Shopify was still away.")
        review.get_by_role("button", name="Say so").click()
        expect(review.get_by_text("Shopify was still away.")).to_be_visible()

        seal_now(console.house)
        page.get_by_role("link", name="with details and proof").click()
        expect(page.locator(".events > li").first).to_contain_text("ann")
        page.get_by_role("link", name="Verify this incident").click()
        expect(page.get_by_text("Nothing was changed.")).to_be_visible()
    made = [("requeue_all", True, False, "rolled_back"), ("requeue_all", False, False, "undone")]
    assert fixes(console, incident) == [*made, ("requeue_all", False, True, "committed")]
    assert trail(console, incident)[-1] == ("ann", "review", "wrong")


def press(page: Page, *keys: str) -> None:
    """On a page that is all there: what it does with keys is the last to come."""
    page.wait_for_load_state()
    for key in keys:
        page.keyboard.press(key)


def test_by_keyboard_alone(console: Console) -> None:
    incident = incident_of(console, "user_cannot_log_in")
    with console.page() as page:
        page.goto("/console/login")
        expect(page.get_by_label("Your token")).to_be_focused()
        page.keyboard.insert_text(console.tokens["operator"])
        press(page, "Enter")
        page.wait_for_url("**/console/")
        press(page, "?")
        expect(page.get_by_role("dialog")).to_be_visible()
        press(page, "Escape", "/")
        page.keyboard.insert_text("colleague")
        press(page, "Enter")
        page.wait_for_url("**q=colleague**")
        press(page, "j", "Enter")
        page.wait_for_url("**/incidents/**")
        expect(page.get_by_role("heading", level=1)).to_contain_text(incident.title)
        press(page, "a")
        expect(page.get_by_text("ann has it")).to_be_visible()
        press(page, "o")
        expect(page.get_by_role("button", name="Dry run").first).to_be_focused()
        press(page, "Enter")
        work(console, page)
        approve = page.get_by_role("button", name="Approve and run")
        expect(approve).to_be_visible()
        press(page, "o")
        expect(approve).to_be_focused()
        press(page, "Enter")
        work(console, page)
        expect(page.locator("article", has_text="Fix: grant_staff")).to_contain_text("held")
        press(page, "c")
        page.keyboard.insert_text("She sees the shop again.")
        press(page, "Tab", "Enter")
        expect(page.locator("#notes")).to_contain_text("She sees the shop again.")
        press(page, "e")
        expect(page.get_by_role("button", name="Resolve")).to_be_focused()
        press(page, "Enter")
        expect(page.get_by_text("resolved by ann")).to_be_visible()
        press(page, "g", "n")
        page.wait_for_url("**/console/")
    assert fixes(console, incident) == [
        ("grant_staff", True, False, "rolled_back"),
        ("grant_staff", False, False, "committed"),
    ]
    told = [("ann", "note", "written"), ("ann", "status", "resolved")]
    assert trail(console, incident)[-2:] == told
    assert trail(console, incident)[0] == ("ann", "status", "acknowledged")


def test_without_javascript(console: Console) -> None:
    incident = incident_of(console, "intake_batch_stuck")
    with console.page(java_script_enabled=False) as page:
        console.log_in(page)
        page.get_by_role("link", name=incident.title).click()
        expect(page.get_by_role("button", name="Keys")).to_be_hidden()
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_text("ann has it")).to_be_visible()
        option = page.locator("#option-complete_batch")
        option.get_by_role("button", name="Dry run").click()
        work(console, page)
        expect(option.get_by_text("it would change 1 row")).to_be_visible()  # it loads itself again
        option.get_by_role("button", name="Approve and run").click()
        work(console, page)
        expect(page.locator("article", has_text="Fix: complete_batch")).to_contain_text("held")
        page.get_by_role("link", name="Now", exact=True).first.click()
        page.get_by_label("Why do you stop them?").fill("I do not trust it today")
        page.get_by_role("button", name="Switch off").click()
        expect(page.get_by_text("Automatic fixes are off.")).to_be_visible()
        expect(page.get_by_text("An admin can switch them on.")).to_be_visible()
    with console.page(java_script_enabled=False) as page:
        console.log_in(page, "admin")
        page.get_by_label("What makes it safe again?").fill("It was something else")
        page.get_by_role("button", name="Switch on").click()
        expect(page.get_by_text("Automatic fixes are off.")).to_be_hidden()
    switched = console.house.sql(
        "SELECT actor, after FROM audit_event WHERE what = 'autofix' ORDER BY id"
    )
    assert [(row["actor"], row["after"]) for row in switched] == [("ann", "off"), ("olga", "on")]


def test_the_audit_is_found_and_verified(console: Console) -> None:
    with console.page() as page:
        console.log_in(page, "viewer")
        page.get_by_role("link", name="Audit").click()
        page.get_by_label("By", exact=True).fill("ann")
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".events b").first).to_have_text("ann")
        page.locator(".events summary").first.click()
        expect(page.get_by_text("ann (person)").first).to_be_visible()
        page.get_by_role("link", name="Verify the newest events").click()
        expect(page.get_by_text("Nothing was changed.")).to_be_visible()
        expect(page.get_by_label("By", exact=True)).to_have_value("ann")


def test_a_page_shows_news_by_itself_and_not_under_ones_hands(console: Console) -> None:
    incident = incident_of(console, "circuit_breaker_open")
    with console.page() as page:
        page.clock.install()
        console.log_in(page, to=f"/console/incidents/{incident.id}")
        page.locator("#answer-lines summary").click()
        page.get_by_label("What should the others know?").fill("I am still writing this")
        console.house.sql("UPDATE incident SET title = 'Another title' WHERE id = %s", incident.id)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        page.clock.run_for(10_000)  # it would have looked for news three times
        page.evaluate("fetch('/healthz').then((answer) => answer.status)")
        assert asked == ["/healthz"]
        page.get_by_label("What should the others know?").fill("")
        page.get_by_role("link", name="Dashboard").focus()
        page.clock.run_for(3_000)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Another title")
        expect(page.locator("#answer-lines")).to_have_attribute("open", "")
        expect(page.get_by_role("link", name="Dashboard")).to_be_focused()
        expect(page.locator("#said")).to_have_text("This page was brought up to date.")
        page.evaluate("kept = fetch, fetch = () => Promise.reject(Error('away')), 0")
        page.clock.run_for(3_000)
        expect(page.locator("#late")).to_contain_text("Not up to date since ")
        page.evaluate("fetch = kept, 0")
        page.clock.run_for(3_000)
        expect(page.locator("#late")).to_be_hidden()


@contextmanager
def known_at(provider: Provider, console: Console, folder: Path) -> Iterator[None]:
    """The console sends people to this provider, where some of them are operators."""
    secret = folder / "client"
    secret.write_text(SECRET)
    roles = {"operator": ["sre"], "admin": ["admins"]}
    company = Issuer("company", "oidc", provider.url, AUDIENCE, "/groups", roles, "/email")
    services, extensions = console.house.services, console.app.extensions
    before = dict(extensions)
    settings = replace(
        services.settings,
        public_url=console.url,
        issuers={"company": company},
        login=Login("company", CLIENT, Secret((f"file:{secret}",))),
    )
    extensions["responder"] = replace(services, settings=settings)
    extensions["responder.issuers"] = Issuers(settings, services.log)
    yield
    extensions.update(before)


def test_by_way_of_a_provider(console: Console, tmp_path: Path) -> None:
    incident = incident_of(console, "database_down")
    ours = f"{console.url}/console/login/return"
    with (
        Provider(redirect_uris=[ours]) as provider,
        known_at(provider, console, tmp_path),
        console.page() as page,
    ):
        page.goto(f"/console/incidents/{incident.id}")  # a link from a chat
        page.get_by_role("link", name="Log in at company").click()
        page.get_by_role("link", name="bob").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(incident.title)
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_text("bob@example.com has it")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert ("company:bob@example.com", "status", "acknowledged") in trail(console, incident)
