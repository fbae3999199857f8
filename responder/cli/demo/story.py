"""How the story is told: alerts are posted, incidents shown, and every promise is looked after.

The shop's own tables and the stand-in for the pager are asked too: nobody has to believe the
responder's word.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_string, policy
from typing import Any

from responder.cli.demo.alerts import Alarm, Notice
from responder.cli.demo.api import Api, DidNotHappen, Document, Posted, until
from responder.cli.demo.databases import DatabaseError
from responder.cli.demo.screen import Screen
from responder.cli.demo.world import World

#: Promise 4: a page leaves within this time, whatever else happens.
PAGE_SECONDS = 3.0
#: The channel that only the pager's fallback writes to.
ON_CALL = "/B0ONCALL/"


@dataclass(frozen=True)
class Told:
    """A posted alert: what became of it; `received` is by the clock of our database."""

    alarm: Notice
    posted: Posted
    received: datetime
    outcome: str
    incident: str


class Story:
    """missed: what did not happen; pages: alert, ms until its page, ms of its slowest question."""

    def __init__(self, world: World, api: Api, screen: Screen) -> None:
        self.world, self.api, self.screen = world, api, screen
        self.missed: list[str] = []
        self.pages: list[tuple[str, float, float]] = []
        self._chapters = 0

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """One chapter; what goes wrong in it is told, and the story goes on."""
        self._chapters += 1
        self.screen.title(f"{self._chapters}  {title}")
        try:
            yield
        except (DidNotHappen, DatabaseError) as error:
            self.expect(False, " ".join(str(error).split()))

    def expect(self, holds: bool, what: str) -> None:
        """Something that must be so, said aloud."""
        if holds:
            self.screen.good(what)
        else:
            self.missed.append(what)
            self.screen.bad(what)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def alarm(self, name: str, summary: str, **labels: str) -> Alarm:
        """An alarm of the production shop that has just begun to fire."""
        told = {"alertname": name, "env": "production", "job": "shop", **labels}
        return Alarm(told, summary, self.now())

    def fire(self, alarm: Notice) -> Told:
        """Its sender posts it; says which incident it opened or joined."""
        posted = self.api.post(alarm.firing(), alarm.source)
        outcome = self.api.outcome(posted)
        received = moment(outcome["received_at"])
        self.screen.line("alert", f"{alarm.sender}: {alarm}")
        self.screen.line("", f"acknowledged in {posted.ms:.0f} ms; incident {outcome['outcome']}")
        if outcome["incident_id"] is None:
            raise DidNotHappen(f"the alert opens or joins an incident: {outcome['note']}")
        return Told(alarm, posted, received, outcome["outcome"], outcome["incident_id"])

    def resolve(self, *told: Told) -> None:
        """Its senders say that it is over; the incident is done with its last alert."""
        for each in told:
            self.api.post(each.alarm.resolved(self.now()), each.alarm.source)
        incident = self.api.incident_when(
            told[-1].incident,
            "the incident is done when its last alert is over",
            lambda document: document["incident"]["stage"] == "done",
        )["incident"]
        senders = " and ".join(dict.fromkeys(each.alarm.sender for each in told))
        self.screen.line("over", f"told by {senders}: {incident['status']}, done")

    def decided(self, told: Told, reason: str) -> Document:
        """The incident once it was decided for this reason, shown."""

        def holds(document: Document) -> bool:
            decision = document["decision"]
            return bool(decision and decision["reason"] == reason and _rests(document))

        document = self.api.incident_when(told.incident, f"a decision for {reason}", holds)
        self.show(document)
        return document

    def show(self, document: Document) -> None:
        """Cause and decision, in the responder's own words."""
        answers, decision = document["diagnosis"], document["decision"]
        if answers:
            asked = [answer for answer in answers if answer["status"] != "skipped"]
            slowest = max((answer["ms"] for answer in asked), default=0)
            self.screen.line(
                "asked",
                f"{len(asked)} of {len(answers)} questions on {document['incident']['target']},"
                f" at once; the slowest took {slowest:.0f} ms",
            )
        for finding in document["findings"]:
            self.screen.line("found", f"{finding['name']}: {finding['summary']}")
        self.screen.line("decided", f"{decision['action']} ({decision['reason']})")
        self.screen.line("", decision["sentence"])

    def show_fix(self, told: Told, fix: Document) -> None:
        """What was changed, one row of it, and how it was verified."""
        changed = ", ".join(f"{count} rows of {table}" for table, count in fix["counts"].items())
        self.screen.line("fixed", f"{fix['option']}: {changed}; the first of them:")
        before = fix["before"][0]
        after = next(row for row in fix["after"] if row["id"] == before["id"])
        row = (
            f"{name} {before[name]} → {after[name] if after[name] is not None else 'none'}"
            for name in before
            if before[name] != after[name]
        )
        self.screen.line("", ", ".join(row))
        seconds = (moment(fix["verified_at"]) - told.received).total_seconds()
        self.screen.line(
            "verified",
            f"the cause was asked for once more: {fix['verification']},"
            f" {seconds:.2f} s after the alert",
        )

    def page(self, told: Told) -> Document:
        """What the pager got for it, which must carry the cause and must not be late."""
        key = self.api.incident(told.incident)["incident"]["dedup_key"]

        def look() -> Document | None:
            return next(iter(self.heard("pagerduty", told, dedup_key=key)), None)

        event = until("the pager has the page", look, PAGE_SECONDS + 2)
        seconds = (moment(event["at"]) - told.posted.at).total_seconds()
        document = self.api.incident(told.incident)
        slowest = max((answer["ms"] for answer in document["diagnosis"]), default=0.0)
        self.pages.append((document["incident"]["rule"], seconds * 1000, slowest))
        self.screen.line("pager", event["payload"]["summary"])
        self.screen.line("", f"{event['event_action']} {event['dedup_key']}")
        self.expect(seconds < PAGE_SECONDS, f"the page was there {seconds:.2f} s after the alert")
        cause = event["payload"]["custom_details"].get("cause", [])
        self.expect(bool(cause), "and it already names the cause")
        return event

    def heard(self, kind: str, told: Told, **wanted: Any) -> list[Document]:
        """What the stand-in got of this kind since the alert was posted."""
        return [
            event
            for event in self.world.pager.received()[kind]
            if moment(event["at"]) >= told.posted.at
            and all(event.get(name) == value for name, value in wanted.items())
        ]

    def hears(self, kind: str, told: Told, what: str, holds: Callable[[Document], Any]) -> Document:
        """The first thing of this kind of which that holds. DidNotHappen(what)."""

        def look() -> Document | None:
            return next((event for event in self.heard(kind, told) if holds(event)), None)

        return until(what, look)

    def show_people(self, told: Told, title: str) -> None:
        """What stands in the channel and in the mailbox of people, once the cause is known."""

        def names_cause(event: Document) -> bool:
            text = event["payload"]["text"]
            return ON_CALL not in event["path"] and title in text and "Not known" not in text

        message = self.hears("slack", told, "the channel hears of the cause", names_cause)
        self.screen.line("slack", message["payload"]["text"].splitlines()[0])
        letter = self.hears(
            "mail", told, "a letter says so", lambda mail: title in subject_of(mail)
        )
        self.screen.line("mail", subject_of(letter))

    def show_webhook(self, told: Told) -> None:
        """What whoever listens behind the webhook was told of this incident, until its end."""

        def look() -> list[str] | None:
            types = [
                event["type"].removeprefix("incident.")
                for event in self.heard("webhook", told)
                if event["data"]["incident"]["id"] == told.incident
            ]
            return types if "resolved" in types else None

        types = until("the webhook hears the end of it", look)
        self.screen.line("webhook", f"signed messages: {', '.join(types)}")

    def show_trail(self, told: Told) -> None:
        """Every step since the alert came, as the audit has it."""
        events = [
            event
            for event in self.api.events(told.incident)
            if moment(event["at"]) >= told.received
        ]
        self.screen.trail(events, told.received)


def subject_of(mail: Document) -> str:
    """What a letter is about, in one line."""
    letter = message_from_string(mail["raw"], policy=policy.default)
    return " ".join(str(letter["subject"]).split())


def moment(text: str) -> datetime:
    """A time as documents carry it."""
    return datetime.fromisoformat(text)


def _rests(document: Document) -> bool:
    """Nothing goes on by itself now: it is watched, or will be looked at again."""
    waits = document["decision"]["action"] == "wait"
    return bool(document["incident"]["stage"] == ("diagnose" if waits else "watch"))
