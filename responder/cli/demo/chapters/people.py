"""What the runbook leaves to people, wholly or in part: a card, a lot, a colleague."""

from collections.abc import Mapping

from responder.cli.demo.alerts import GrafanaAlarm, PagerDutyIncident
from responder.cli.demo.api import Document, until
from responder.cli.demo.chapters.shown import show_offer
from responder.cli.demo.story import Story, Told

_FORGOTTEN, _DOUBLE = "LOT-000059", "LOT-000058"
_COLLEAGUE = "counter-41@example.com"
_THEIRS = "QSHOPLOGIN0001"
_CAME_TO_NOTHING = ("rolled_back", "refused", "unknown")


def sync_failed(story: Story) -> None:
    """One card is queued again by itself; another one's error would come back for ever."""
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("A card does not reach Shopify: queued again, unless that is no use"):
        (passing,) = shop.play("fail_item", error="HTTP 503 Service Unavailable")
        (refused,) = shop.play("fail_item", error="HTTP 422: title can't be blank")
        screen.line("fault", f"{passing['sku']} failed with a 503, {refused['sku']} with a 422")
        told = _fire_for_card(story, passing["sku"])
        document = story.api.incident_when(
            told.incident,
            "the card is queued again, verified",
            lambda document: any(fix["verification"] == "held" for fix in document["fixes"]),
        )
        story.show(document)
        story.show_fix(told, document["fixes"][0])

        def through() -> Mapping[str, str] | None:
            (entry,) = shop.play("entry", entry=passing["entry"])
            return entry if entry["status"] == "completed" else None

        until("the consumer brings it to Shopify", through)
        story.expect(True, "the consumer brought it to Shopify")
        story.show_trail(told)
        story.resolve(told)
        told = _fire_for_card(story, refused["sku"])
        show_offer(story, told, story.decided(told, "not_automatic"))
        (entry,) = shop.play("entry", entry=refused["entry"])
        story.expect(entry["status"] == "failed", "the other one is as it was, with its error")
        story.resolve(told)


def _fire_for_card(story: Story, sku: str) -> Told:
    summary = f"{sku} does not reach Shopify"
    alarm = story.alarm("ShopifySyncFailed", summary, severity="warning", sku=sku)
    return story.fire(GrafanaAlarm(alarm.labels, alarm.summary, alarm.started))


def batch_stuck(story: Story) -> None:
    """A lot is ended by whoever is on call; another one is deleted by an admin."""
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("Two lots stay active: one is completed, one deleted, both by people"):
        for number in (_FORGOTTEN, _DOUBLE):
            shop.play("forget_lot", lot=number)
        screen.line(
            "fault", f"the page that ends {_FORGOTTEN} failed; {_DOUBLE} was taken in twice"
        )
        told = _fire_for_lot(story, _FORGOTTEN)
        show_offer(story, told, story.decided(told, "not_automatic"))
        _run(story, told, "complete_batch")
        (lot,) = shop.play("lot", lot=_FORGOTTEN)
        story.expect(lot["status"] == "completed", f"the shop says that it is {lot['status']}")
        story.show_trail(told)
        story.resolve(told)
        told = _fire_for_lot(story, _DOUBLE)
        document = story.decided(told, "not_automatic")
        why = {"why": f"the cards are in {_FORGOTTEN}"}
        seen = document["decision"]["id"]
        response = story.api.ask_for_fix(told.incident, "delete_batch", seen, parameters=why)
        story.expect(response.status_code == 403, "an operator may not delete it")
        _run(story, told, "delete_batch", role="admin", **why)
        (lot,) = shop.play("lot", lot=_DOUBLE)
        story.expect(
            (lot["status"], lot["deleted"]) == ("deleted", 25),
            f"the shop's own function marked the lot and {lot['deleted']} cards, for its admin",
        )
        story.resolve(told)


def _fire_for_lot(story: Story, lot: str) -> Told:
    summary = f"{lot} does not end"
    return story.fire(story.alarm("IntakeBatchStuck", summary, severity="warning", lot_number=lot))


def cannot_log_in(story: Story) -> None:
    """PagerDuty's webhook has no labels: the address stands in the title."""
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("A new colleague sees nothing: rights are granted by a person, one by one"):
        shop.play("hire", email=_COLLEAGUE)
        screen.line("fault", f"{_COLLEAGUE} has an account, and neither a role nor a store")
        title = f"[production] UserCannotLogIn: {_COLLEAGUE}"
        story.world.pager.add_incident(_THEIRS, alerts=[{"summary": title, "severity": "warning"}])
        told = story.fire(PagerDutyIncident(_THEIRS, title, "P3", story.now()))
        document = story.decided(told, "not_automatic")
        email = document["incident"]["parameters"].get("email")
        story.expect(email == _COLLEAGUE, "whom it is about was read from the title")
        show_offer(story, told, document)
        _run(story, told, "grant_staff")
        _run(story, told, "assign_store", store_key="harbour", location="80140000")
        (rights,) = shop.play("rights", email=_COLLEAGUE)
        story.expect(
            (rights["roles"], rights["stores"]) == ("staff", "harbour"),
            f"the shop says: {rights['roles']}, {rights['stores']}",
        )
        story.show_trail(told)
        story.resolve(told)


def _run(story: Story, told: Told, option: str, role: str = "operator", **parameters: str) -> None:
    """A person asks for it, and sees what it changed."""
    seen = story.api.incident(told.incident)["decision"]["id"]
    response = story.api.ask_for_fix(told.incident, option, seen, parameters=parameters, role=role)
    fix: Document = response.json()
    if response.status_code == 202:
        fix = story.api.fix_when(
            fix["id"],
            f"{option} is over",
            lambda fix: fix["verification"] == "held" or fix["status"] in _CAME_TO_NOTHING,
        )
        counts = ", ".join(f"{count} of {table}" for table, count in fix["counts"].items())
        story.screen.line("person", f"{option}, as {role}: {fix['status']}; changed {counts}")
    story.expect(fix.get("verification") == "held", f"{option} was made, and it held")
