"""The chapters, in an order that cool-downs, shared answers and an open P0 allow."""

import statistics

from responder.cli.demo.alerts import Alarm
from responder.cli.demo.api import DidNotHappen, Document, until
from responder.cli.demo.shop import Shop
from responder.cli.demo.story import Story, Told, moment

_FAULTS = 12
_POSTS = 50


def tell(story: Story) -> None:
    """All of it; what did not happen is in `story.missed` afterwards."""
    repaired = stuck_queue(story)
    on_fire = declared_p0(story, repaired)
    staging(story)
    person_decides(story, on_fire)
    database_down(story)
    no_rule(story)
    numbers(story)


def stuck_queue(story: Story) -> str:
    """The incident that was repaired; the next chapter is about the same one."""
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("A queue is stuck, told as P2: repaired, and verified"):
        shop.play("fail_items", items=_FAULTS)
        before = shop.counts()
        screen.line("fault", f"Shopify was away: {_FAULTS} items failed until no retry was left")
        told = story.fire(_queue_alarm(story, "warning"))
        document = story.api.incident_when(
            told.incident, "the fix is verified and the incident is watched", _is_verified
        )
        story.show(document)
        story.show_fix(told, document["fixes"][0])
        story.show_trail(told)
        after = until("the consumer takes up all that was queued again", lambda: _drained(shop))
        changes = (
            f"{status} {before[status]} → {after[status]}" for status in ("failed", "completed")
        )
        screen.line("shop", f"its own table says {', '.join(changes)}")
        story.expect(
            after["failed"] == 0 and after["completed"] >= before["completed"] + _FAULTS,
            "every failed item is through, so the queue is really repaired",
        )
        paged = story.heard("pagerduty", told)
        story.expect(not paged, "nobody was woken for it")
        story.resolve(told)
        story.show_webhook(told)
        return told.incident
    return ""


def declared_p0(story: Story, repaired: str) -> list[Told]:
    """The alerts that go on firing: a person takes them two chapters later."""
    shop, screen = story.world.shops["shop"], story.screen
    fired: list[Told] = []
    with story.chapter("The same fault, now declared P0: offered, never fixed"):
        shop.play("fail_items", items=_FAULTS)
        screen.line("fault", f"{_FAULTS} items more have failed; somebody calls it critical")
        fired.append(story.fire(_queue_alarm(story, "critical")))
        document = story.decided(fired[0], "severity")
        story.page(fired[0])
        _show_offer(story, fired[0], document)
        fired.append(story.fire(_queue_alarm(story, "warning")))
        incidents = {repaired, *(told.incident for told in fired)}
        story.expect(len(incidents) == 1, "one key, one incident, whatever severity is told")
        severity = story.api.incident(fired[1].incident)["incident"]["severity"]
        story.expect(severity == "P0", "and it stays P0 when the milder alert joins")
        failed = shop.counts()["failed"]
        story.expect(failed == _FAULTS, f"the shop's table still has {failed} failed items")
        story.show_trail(fired[0])
    return fired


def staging(story: Story) -> None:
    """The other shop; production has failed items at this moment, and keeps them."""
    production, shop = story.world.shops["shop"], story.world.shops["shop_staging"]
    with story.chapter("In staging the consumer is dead: handed over, production untouched"):
        before = production.counts()["failed"]
        shop.stop_consumer()
        try:
            shop.play("new_items", items=_FAULTS)
            shop.play("pass_time")
            story.screen.line(
                "fault",
                "the consumer was stopped; what waits was made 11 minutes older, so that you need"
                " not wait that long",
            )
            alarm = story.alarm(
                "ShopifyQueueStuck", "The queue is not moving", severity="warning", env="staging"
            )
            told = story.fire(alarm)
            document = story.decided(told, "no_option")
            story.show_trail(told)
            target = document["incident"]["target"]
            story.expect(target == "shop_staging", "only shop_staging was asked")
            after = production.counts()["failed"]
            story.expect(
                before == after and not document["fixes"],
                f"production has its {after} failed items still: nothing was changed",
            )
        finally:
            shop.start_consumer()
        until("the staging consumer catches up", lambda: _drained(shop))
        story.resolve(told)


def person_decides(story: Story, on_fire: list[Told]) -> None:
    """The end of the P0: acknowledged, repaired by hand, and the pager hears of both."""
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("Back in production a person takes the P0"):
        if len(on_fire) < 2:
            raise DidNotHappen("there is a P0 to be taken")
        story.api.acknowledge(on_fire[0].incident)
        screen.line("person", "acknowledges it, and runs what the runbook offers")
        shop.play("retry_by_hand")
        after = until("the consumer takes up all that was queued again", lambda: _drained(shop))
        screen.line("shop", f"its own table says failed {after['failed']}")
        story.resolve(*on_fire)
        key = story.api.incident(on_fire[0].incident)["incident"]["dedup_key"]

        def actions() -> list[str] | None:
            heard = story.heard("pagerduty", on_fire[0], dedup_key=key)
            told = [event["event_action"] for event in heard]
            return told if "resolve" in told else None

        told = until("the pager hears the end of it", actions)
        story.expect(
            told == ["trigger", "acknowledge", "resolve"], f"the pager got {', '.join(told)}"
        )


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
            _show_offer(story, told, document)
            story.show_trail(told)
        finally:
            server.start()
        screen.line("shop", "its PostgreSQL was started again")
        story.resolve(told)


def no_rule(story: Story) -> None:
    with story.chapter("An alert that no rule answers: forwarded, and marked so"):
        alarm = story.alarm(
            "CertificateExpiresSoon", "The shop's certificate ends in nine days", severity="warning"
        )
        told = story.fire(alarm)
        story.decided(told, "no_rule")
        story.resolve(told)
        story.show_webhook(told)


def numbers(story: Story) -> None:
    """Notices of something that never fired: kept and triaged like all others, and stale."""
    with story.chapter("How long it took"):
        ended = Alarm({"alertname": "DemoIsOver"}, "Nothing", story.now())
        times = [story.api.post(ended.resolved(story.now())).ms for _ in range(_POSTS)]
        p50, slowest = statistics.median(times), max(times)
        story.screen.line(
            "ack", f"p50 {p50:.1f} ms, slowest {slowest:.1f} ms over {_POSTS} posts, each committed"
        )
        for alert, page, question in story.pages:
            story.screen.line(
                "page",
                f"{alert}: {page:.0f} ms after the alert; slowest question {question:.0f} ms",
            )


def _queue_alarm(story: Story, severity: str) -> Alarm:
    return story.alarm("ShopifyQueueStuck", "The Shopify queue is stuck", severity=severity)


def _is_verified(document: Document) -> bool:
    held = [fix["verification"] == "held" for fix in document["fixes"]]
    return document["incident"]["stage"] == "watch" and bool(held) and all(held)


def _drained(shop: Shop) -> Document | None:
    """The counts when nothing has waited for long; one item may have come just now."""
    counts = shop.counts()
    return counts if counts["queued"] + counts["processing"] <= 1 else None


def _show_offer(story: Story, told: Told, document: Document) -> None:
    offered = [option for option in document["options"] if option["offered"]]
    for option in offered:
        story.screen.line("offered", f"{option['name']}: {option['title']} ({option['why_not']})")
    fixed = [fix for fix in document["fixes"] if moment(fix["started_at"]) >= told.received]
    story.expect(bool(offered) and not fixed, "offered to a person, not fixed")
