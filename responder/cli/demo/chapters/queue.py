"""A stuck queue: repaired at P2, offered at P0, handed over in staging, and a person's fix."""

from responder.cli.demo.alerts import Alarm, GrafanaAlarm
from responder.cli.demo.api import DidNotHappen, Document, until
from responder.cli.demo.chapters.shown import drained, show_offer
from responder.cli.demo.story import Story, Told

_FAULTS = 12
_TITLE = "The Shopify queue is stuck"


def stuck_queue(story: Story) -> Document | None:
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
        after = until("the consumer takes up all that was queued again", lambda: drained(shop))
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
        story.show_people(told, _TITLE)
        return document
    return None


def declared_p0(story: Story, repaired: Document | None = None) -> list[Told]:
    """The alerts that go on firing: a person takes them two chapters later."""
    shop, screen = story.world.shops["shop"], story.screen
    fired: list[Told] = []
    with story.chapter("The same fault, now declared P0: offered, never fixed"):
        shop.play("fail_items", items=_FAULTS)
        screen.line("fault", f"{_FAULTS} items more have failed; somebody calls it critical")
        fired.append(story.fire(_queue_alarm(story, "critical")))
        document = story.decided(fired[0], "severity")
        story.page(fired[0])
        show_offer(story, fired[0], document)
        alarm = _queue_alarm(story, "warning")
        fired.append(story.fire(GrafanaAlarm(alarm.labels, alarm.summary, alarm.started)))
        incidents = {*(told.incident for told in fired), *(_id(repaired) if repaired else ())}
        story.expect(len(incidents) == 1, "one key, one incident, whoever tells it")
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
        until("the staging consumer catches up", lambda: drained(shop))
        story.resolve(told)


def person_decides(story: Story, repaired: Document | None, on_fire: list[Told]) -> None:
    """The end of the P0: acknowledged, tried, repaired by a person; the pager hears of it."""
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("Back in production a person takes the P0: tried first, then for real"):
        if repaired is None or len(on_fire) < 2:
            raise DidNotHappen("there is a P0 to be taken")
        incident = on_fire[0].incident
        story.api.acknowledge(incident)
        screen.line("person", "acknowledges it, and asks for what the runbook offers")
        _refuse_stale(story, repaired, incident)
        _try_out(story, incident)
        story.expect(shop.counts()["failed"] == _FAULTS, "and the shop is as it was")
        _fix_by_hand(story, incident)
        after = until("the consumer takes up all that was queued again", lambda: drained(shop))
        screen.line("shop", f"its own table says failed {after['failed']}")
        story.expect(after["failed"] == 0, "the queue is really repaired")
        story.resolve(*on_fire)
        key = story.api.incident(incident)["incident"]["dedup_key"]

        def actions() -> list[str] | None:
            heard = story.heard("pagerduty", on_fire[0], dedup_key=key)
            told = [event["event_action"] for event in heard]
            return told if "resolve" in told else None

        told = until("the pager hears the end of it", actions)
        story.expect(
            told == ["trigger", "acknowledge", "resolve"], f"the pager got {', '.join(told)}"
        )


def _refuse_stale(story: Story, repaired: Document, incident: str) -> None:
    """Somebody looks at a page from before the fault came back."""
    seen = repaired["decision"]["id"]
    response = story.api.ask_for_fix(incident, "retry_failed", seen)
    kind = response.json().get("type", "")
    story.expect(
        (response.status_code, kind) == (409, "urn:responder:stale"),
        "refused while they look at the decision of chapter 1 (stale)",
    )


def _try_out(story: Story, incident: str) -> None:
    fix = _asked(story, incident, dry_run=True)
    fix = story.api.fix_when(fix["id"], "the fix is tried", _is_over)
    counts = ", ".join(f"{count} rows of {table}" for table, count in fix["counts"].items())
    story.screen.line("dry run", f"retry_failed: {fix['status']}; it would change {counts}")
    changed = fix["counts"] == {"shopify_sync_queue": _FAULTS}
    story.expect(
        changed and fix["status"] == "rolled_back", "made on the real rows, and taken back"
    )


def _fix_by_hand(story: Story, incident: str) -> None:
    fix = _asked(story, incident, dry_run=False)
    fix = story.api.fix_when(
        fix["id"], "a person's fix is verified", lambda fix: fix["verification"] == "held"
    )
    actor = fix["actor"]
    story.screen.line("fixed", f"for real, as {actor['name']}: {fix['status']}, held")
    story.expect(actor["kind"] == "person", "at P0, since a person decided")


def _asked(story: Story, incident: str, dry_run: bool) -> Document:
    seen = story.api.incident(incident)["decision"]["id"]
    response = story.api.ask_for_fix(incident, "retry_failed", seen, dry_run)
    if response.status_code != 202:
        raise DidNotHappen(f"a fix was answered with {response.status_code}, not 202")
    fix: Document = response.json()
    return fix


def _is_over(fix: Document) -> bool:
    return fix["status"] not in ("started", "recorded")


def _id(document: Document) -> tuple[str]:
    return (document["incident"]["id"],)


def _queue_alarm(story: Story, severity: str) -> Alarm:
    return story.alarm("ShopifyQueueStuck", _TITLE, severity=severity)


def _is_verified(document: Document) -> bool:
    held = [fix["verification"] == "held" for fix in document["fixes"]]
    return document["incident"]["stage"] == "watch" and bool(held) and all(held)
