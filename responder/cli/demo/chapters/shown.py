"""What several chapters look at: offers to people, and a queue that is done."""

from responder.cli.demo.api import Document
from responder.cli.demo.shop import Shop
from responder.cli.demo.story import Story, Told, moment


def drained(shop: Shop) -> Document | None:
    """The counts when nothing has waited for long; one item may have come just now."""
    counts = shop.counts()
    return counts if counts["queued"] + counts["processing"] <= 1 else None


def show_offer(story: Story, told: Told, document: Document) -> None:
    """What is offered; a command is shown as one would run it."""
    offered = [option for option in document["options"] if option["offered"]]
    for option in offered:
        story.screen.line("offered", f"{option['name']}: {option['title']} ({option['why_not']})")
        for asks in option["asks"].values():
            story.screen.line("", f"it asks: {asks}")
        if option["run"]:
            story.screen.line("", option["run"], "" if option["run"].startswith("#") else "$ ")
    fixed = [fix for fix in document["fixes"] if moment(fix["started_at"]) >= told.received]
    story.expect(bool(offered) and not fixed, "offered to a person, not fixed")
