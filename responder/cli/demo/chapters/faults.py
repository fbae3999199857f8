"""The other rows of the runbook's table, each made for real, and an alert that is in no row."""

from responder.cli.demo.alerts import MonitorAlarm, PagerDutyIncident
from responder.cli.demo.api import Document
from responder.cli.demo.chapters.shown import show_offer
from responder.cli.demo.story import Story, Told

_FUNCTION = "catalog-sync-justtcg"
_THEIRS = "QSTAGINGDB0001"


def circuit_breaker(story: Story) -> None:
    """It closes by itself in a minute, which the story does not wait for: the API comes back."""
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("A circuit breaker is open: P1, paged, and looked at again in a minute"):
        shop.play("open_breaker")
        screen.line("fault", f"{_FUNCTION} writes that JustTCG is silent and its breaker opened")
        alarm = story.alarm(
            "CircuitBreakerOpen", "The catalogue sync fails", severity="error", function=_FUNCTION
        )
        told = story.fire(alarm)
        story.page(told)
        document = story.decided(told, "look_again")
        endpoint = next(each for each in document["diagnosis"] if each["name"] == "endpoint")
        status = (endpoint["rows"] or [{}])[0].get("status")
        story.expect(status == 200, "the functions' /health was asked, which starts nothing: 200")
        show_offer(story, told, document)
        story.show_trail(told)
        shop.play("close_breaker")
        screen.line("shop", "JustTCG answers again, and the breaker closed")
        story.resolve(told)


def slow_queries(story: Story) -> None:
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("Slow queries, told by a monitor of somebody's own: P3, nobody is woken"):
        shop.open_slow_page()
        screen.line("fault", "a page of the shop searched by columns without an index, for 1.3 s")
        text = "Pages of the shop take longer than a second"
        told = story.fire(MonitorAlarm("DatabaseSlow", text, "sluggish", story.now()))
        document = story.decided(told, "not_automatic")
        names = {finding["name"] for finding in document["findings"]}
        story.expect("slow_statements" in names, "the slow statement was found")
        show_offer(story, told, document)
        indexes = {each["name"] for each in document["options"] if each["offered"]}
        story.expect(
            {"index_sku", "index_lot_id"} <= indexes, "the indexes that it lacks are offered"
        )
        _index_by_a_person(story, told, document)
        severity = document["incident"]["severity"]
        story.expect(severity == "P3", "sluggish means P3 by the map of this source")
        story.expect(not story.heard("pagerduty", told), "nobody was woken for it")
        story.resolve(told)


def _index_by_a_person(story: Story, told: Told, document: Document) -> None:
    """No transaction can hold it, so it is begun over a direct connection and settled by a look."""
    answer = story.api.ask_for_fix(told.incident, "index_sku", document["decision"]["id"])
    fix = story.api.fix_when(
        answer.json()["id"],
        "the index is built, verified",
        lambda fix: fix["verification"] == "held",
    )
    story.screen.line("index", f"index_sku by demo-operator: {fix['status']}")
    (index,) = story.world.shops["shop"].play("index_sku")
    story.expect(index["valid"], "the index was built outside of a transaction, and is valid")


def database_down(story: Story) -> None:
    """The shop's PostgreSQL is stopped for real; started again by us, never by the responder."""
    server, screen = story.world.shop_server, story.screen
    with story.chapter("The shop's database is down: P0, the page already names the cause"):
        server.stop(keep=True)
        try:
            screen.line("fault", "the shop's PostgreSQL was stopped")
            alarm = story.alarm(
                "DatabaseDown", "The shop's database does not answer", severity="critical"
            )
            told = story.fire(alarm)
            story.page(told)
            document = story.decided(told, "severity")
            names = [finding["name"] for finding in document["findings"]]
            story.expect(names == ["port_closed"], "the cause is port_closed")
            show_offer(story, told, document)
            story.show_trail(told)
            theirs = _told_by_pagerduty(story)
        finally:
            server.start()
        screen.line("shop", "its PostgreSQL was started again")
        story.resolve(told)
        story.resolve(theirs)


def _told_by_pagerduty(story: Story) -> Told:
    """Staging is on the same server; somebody else woke people for it at PagerDuty already."""
    title = "[staging] DatabaseDown: the site monitor gets no answer"
    details = {"host": "staging-db", "team": "shop"}
    alert = {"summary": title, "severity": "critical", "body": {"details": details}}
    story.world.pager.add_incident(_THEIRS, alerts=[{**alert, "alert_key": "site-monitor-7"}])
    told = story.fire(PagerDutyIncident(_THEIRS, title, "P1", story.now()))
    document = story.decided(told, "severity")
    story.expect(
        document["incident"]["target"] == "shop_staging", "the title's [staging] picks the target"
    )
    note = story.hears(
        "notes",
        told,
        "a note on their incident names the cause",
        lambda note: note["incident"] == _THEIRS and "PostgreSQL does not run" in note["content"],
    )
    story.screen.line("note", f"on PagerDuty's incident {_THEIRS}:")
    for line in list(filter(None, note["content"].splitlines()))[:4]:
        story.screen.line("", line)
    labels = document["alerts"][0]["labels"]
    story.expect(
        labels.get("host") == "staging-db", "what V3 leaves out was fetched by PagerDuty's REST API"
    )
    key = document["incident"]["dedup_key"]
    story.expect(
        not story.heard("pagerduty", told, dedup_key=key), "answered there, by no second page"
    )
    return told


def no_rule(story: Story) -> None:
    with story.chapter("An alert that no rule answers: forwarded, and marked so"):
        alarm = story.alarm(
            "CertificateExpiresSoon", "The shop's certificate ends in nine days", severity="warning"
        )
        told = story.fire(alarm)
        story.decided(told, "no_rule")
        story.resolve(told)
        story.show_webhook(told)
