"""A credential that grew old, which no monitor knows; and one that strangers may know."""

from typing import Any

from responder.cli.demo.api import Document, until
from responder.cli.demo.chapters.shown import show_offer
from responder.cli.demo.databases import Session
from responder.cli.demo.story import Story

_KEY = "JUSTTCG_API_KEY"
_RULE = "credential_rotation_due"


def rotation_due(story: Story) -> None:
    shop, screen = story.world.shops["shop"], story.screen
    with story.chapter("A credential is 91 days old: no monitor knows, a scheduled check does"):
        shop.play("age_credential", name=_KEY)
        screen.line("fault", f"{_KEY} was last rotated 91 days ago, says system_settings")
        _hasten(story)
        found = until("the check opens an incident of its own", lambda: _newest(story))
        document = story.api.incident_when(
            found["id"], "it is decided", lambda each: each["incident"]["stage"] == "watch"
        )
        story.show(document)
        story.expect(document["incident"]["source"] == "responder", "raised by the responder")
        for option in document["options"]:
            if option["offered"]:
                screen.line("offered", f"{option['name']}: {option['title']}")
        told = str(document)
        story.expect("kept_in" not in told, "names and ages were read, never a value")
        shop.play("write_down_rotation", name=_KEY)
        screen.line("person", "rotates it, and writes the rotation down")
        _hasten(story)
        over = story.api.incident_when(
            found["id"],
            "the next check finds nothing, and ends the incident",
            lambda each: each["incident"]["stage"] == "done",
        )
        story.expect(
            over["incident"]["resolved_by"] == "sender",
            "the next check found nothing, so the incident ended by itself",
        )


def leak(story: Story) -> None:
    with story.chapter("A credential may have leaked: P1, paged with what was not rotated since"):
        alarm = story.alarm(
            "CredentialLeakSuspected",
            "A key of ours stands in a public repository",
            severity="error",
            credential=_KEY,
        )
        told = story.fire(alarm)
        story.page(told)
        document = story.decided(told, "severity")
        story.expect(_KEY in document["findings"][0]["summary"], "the one that the alert names")
        show_offer(story, told, document)
        story.resolve(told)


def _hasten(story: Story) -> None:
    """The check is made each hour; the story does not wait for it, once it is planned."""

    def planned() -> list[dict[str, Any]] | None:
        with Session(story.world.ours.url("responder"), "demo") as session:
            return session.play("hasten_checks") or None

    until("the checks are planned", planned)
    story.screen.line("time", "an hour is made to pass until the next check")


def _newest(story: Story) -> Document | None:
    items = story.api.get(f"/v1/incidents?rule={_RULE}&status=open")["items"]
    return items[0] if items else None
