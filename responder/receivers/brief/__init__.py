"""What a person woken at night must see first, from any document: cause, offer, evidence, fix.

Plain text only: each receiver escapes it for itself, and drops the last parts when it is too long.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from responder.domain.notification import Happening, Message
from responder.receivers.brief import approval, digest, evidence, fixed, maintenance, summary
from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.text import (
    command,
    lasted,
    line,
    links,
    mapping,
    records,
    when,
    words,
)

MAX_TITLE = 200
MAX_SHORT = 300
MAX_SENTENCE = 600
MAX_COMMAND = 1_200
MAX_CAUSES = 3
MAX_OFFERS = 4
MAX_LABELS = 15
MAX_LINKS = 8

REPEATED = "Sent again: the first attempt may have arrived."
STILL_LOOKING = "still looking for the cause"
_FIRST_LINKS = ("console", "runbook", "dashboard", "panel")
#: What our own links are called for people.
OURS = {"console": "incident", "self": "API"}
_SEVERITIES = ("P0", "P1", "P2", "P3")
_BY = {
    "sender": "by its sender",
    "person": "by a person",
    "quiet": "by quiet: nothing more was heard of it",
}


@dataclass(frozen=True)
class Brief:
    """severity: `P0` to `P3`, or `P?`; state: what happened, and where; both are one line."""

    severity: str
    happening: Happening
    title: str
    state: str
    parts: tuple[Part, ...]
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        return f"[{self.severity}] {self.title}"

    @property
    def in_short(self) -> str:
        """What a lock screen shows: the cause, or that it is over."""
        texts = [piece.text for part in self.parts for piece in part.pieces if piece.text]
        over = self.happening in (Happening.ACKNOWLEDGED, Happening.RESOLVED)
        return line(f"{self.headline}: {self.state if over or not texts else texts[0]}", MAX_SHORT)


def brief(message: Message) -> Brief:
    """The message for people; a bare or broken document makes a short one, never an error."""
    document = message.document
    if message.happening == Happening.SUMMARY:
        told = mapping(document.get("summary"))
        severity, title, state = summary.gravest(told), summary.title(told), summary.state(told)
        parts = list(summary.parts(document))
    elif message.happening == Happening.MAINTENANCE:
        told = mapping(document.get("maintenance"))
        severity, title, state = "P3", maintenance.title(told), maintenance.state(told)
        parts = list(maintenance.parts(document))
    elif message.happening == Happening.DIGEST:
        told = mapping(document.get("digest"))
        severity, title, state = "P3", digest.TITLE, digest.state(told)
        parts = list(digest.parts(document))
    else:
        incident = mapping(document.get("incident"))
        severity, title = severity_of(incident), title_of(document)
        state = f"{_state(message.happening, document)}. {_where(incident)}"
        parts = list(_parts(message.happening, document))
    return Brief(severity, message.happening, title, state, tuple(parts), _links(document))


def label_of(name: str, href: str) -> str:
    """What a link is called where its address is hidden: an alert's link shows its host."""
    return name if name in OURS.values() else f"{name} ({urlsplit(href).hostname})"


def severity_of(incident: Mapping[str, Any]) -> str:
    return incident["severity"] if incident.get("severity") in _SEVERITIES else "P?"


def title_of(document: Mapping[str, Any]) -> str:
    """What the incident is called, by whoever says it first."""
    incident = mapping(document.get("incident"))
    alert = next(iter(records(document.get("alerts"))), {})
    names = (incident.get("title"), alert.get("title"), incident.get("rule"), alert.get("name"))
    return next(filter(None, (line(name, MAX_TITLE) for name in names)), "incident")


def causes_of(document: Mapping[str, Any], limit: int) -> list[str]:
    """Each cause in a sentence of at most `limit` characters."""
    found = (line(each.get("summary"), limit) for each in records(document.get("findings")))
    return [cause for cause in found if cause]


def decided_of(document: Mapping[str, Any], limit: int) -> str:
    """The sentence of the decision, empty before there is one."""
    return line(mapping(document.get("decision")).get("sentence"), limit)


def escalated_of(document: Mapping[str, Any]) -> str:
    """Who was told, and when the next ones are; empty while nobody was."""
    told = mapping(document.get("escalation"))
    said = line(told.get("sentence"), MAX_SENTENCE)
    next_at = when(told.get("next_at"))
    if not said or not next_at:
        return said
    if mapping(document.get("incident")).get("status") == "acknowledged":
        return f"{said} The acknowledgement holds until {next_at}; a note or a fix renews it."
    return f"{said} If nobody acknowledges, it goes on at {next_at}."


def _cause(document: Mapping[str, Any], over: bool) -> str:
    """Each cause on a line of its own, or why none is known."""
    causes = causes_of(document, MAX_SENTENCE)
    decided = decided_of(document, MAX_SENTENCE)
    if len(causes) > MAX_CAUSES:
        causes[MAX_CAUSES:] = [f"... {len(causes) - MAX_CAUSES} more causes"]
    if causes or decided:
        return "\n".join(causes) or f"Not known. {decided}"
    return "It was over before a cause was found." if over else f"Not known yet: {STILL_LOOKING}."


def _parts(happening: Happening, document: Mapping[str, Any]) -> Iterator[Part]:
    """Who is told that somebody has it needs no evidence; who is told of the end needs no offer."""
    incident = mapping(document.get("incident"))
    over = happening == Happening.RESOLVED or incident.get("status") == "resolved"
    causes = filter(None, (_cause(document, over), maintenance.around(document)))
    yield Part("Cause", (Piece("\n".join(causes)),))
    if happening == Happening.ACKNOWLEDGED:
        return
    if not over:
        yield from approval.parts(document)
        yield from _decision(document)
        yield from _breaker(document)
        yield from _escalation(document)
        yield from evidence.parts(document)
    yield from fixed.parts(document)
    yield from _alert(document)


def _decision(document: Mapping[str, Any]) -> Iterator[Part]:
    """What is decided, and what a person can do; nothing when it is mended."""
    decision = mapping(document.get("decision"))
    if decision.get("action") == "fix":
        told = fixed.in_a_sentence(document)
    else:
        told = decided_of(document, MAX_SENTENCE)
    if told and causes_of(document, 1):
        yield Part("Decision", (Piece(told),))
    offers = [each for each in records(document.get("options")) if each.get("offered") is True]
    if offers and not fixed.is_mended(document):
        pieces = [_offer(place, option) for place, option in enumerate(offers[:MAX_OFFERS], 1)]
        if len(offers) > MAX_OFFERS:
            pieces.append(Piece(f"... {len(offers) - MAX_OFFERS} more"))
        yield Part("You can", tuple(pieces))


def breaker_of(document: Mapping[str, Any]) -> str:
    """That the breaker is open, and how to reset it; empty while it is closed."""
    return line(mapping(document.get("breaker")).get("sentence"), MAX_SENTENCE)


def _breaker(document: Mapping[str, Any]) -> Iterator[Part]:
    if told := breaker_of(document):
        yield Part("Breaker", (Piece(told),))


def _escalation(document: Mapping[str, Any]) -> Iterator[Part]:
    if told := escalated_of(document):
        yield Part("Escalation", (Piece(told),))


def _offer(place: int, option: Mapping[str, Any]) -> Piece:
    """A command that is too long is not cut: half of it could do something else."""
    name, title = line(option.get("name"), 80), line(option.get("title"), MAX_TITLE)
    caution = line(option.get("caution"), MAX_SENTENCE)
    asks = "; ".join(line(ask, MAX_TITLE) for ask in words([*mapping(option.get("asks")).values()]))
    run = command(option.get("run"))
    said = [f"{place}. {title or name}"]
    if not run:
        role = line(option.get("role"), 80)
        whom = f" if you have the role {role}" if role and role != "operator" else ""
        said.append(f"The responder can run it for you{whom}: option {name}.")
    elif len(run) > MAX_COMMAND:
        said.append("Its command is too long to be shown here; the incident has it.")
    if option.get("dangerous") is True and not run:
        said.append("Two people must approve it.")
    if asks:
        said.append(f"It asks: {line(asks, MAX_SENTENCE)}")
    if caution:
        said.append(f"Caution: {caution}")
    return Piece("\n".join(said), command=run if len(run) <= MAX_COMMAND else "")


def _alert(document: Mapping[str, Any]) -> Iterator[Part]:
    """What the newest notice says, with its labels."""
    alerts = records(document.get("alerts"))
    if not alerts:
        return
    newest = alerts[0]
    said = [line(newest.get("name"), MAX_TITLE), line(newest.get("status"), 40)]
    source = line(newest.get("source"), 80)
    told = [" ".join(filter(None, said)) + (f", told by {source}" if source else "")]
    if len(alerts) > 1:
        told[0] += f"; the newest of {len(alerts)} notices"
    notes = mapping(newest.get("annotations"))
    for note in dict.fromkeys(line(notes.get(name), 400) for name in ("summary", "description")):
        if note and note != title_of(document):
            told.append(note)
    labels = [
        f"{line(name, 60)}={line(value, 100)}"
        for name, value in mapping(newest.get("labels")).items()
    ]
    if labels:
        told.append(" ".join(labels[:MAX_LABELS]))
    yield Part("Alert", (Piece("\n".join(filter(None, told))),))


def _state(happening: Happening, document: Mapping[str, Any]) -> str:
    """What happened; a message may be sent long after, so it says what has changed since."""
    incident = mapping(document.get("incident"))
    opened, who = incident.get("opened_at"), line(incident.get("acknowledged_by"), 80)
    status = incident.get("status")
    if happening == Happening.RESOLVED or status == "resolved":
        by = _BY.get(line(incident.get("resolved_by"), 20), "")
        took = lasted(opened, incident.get("resolved_at"))
        said = " ".join(filter(None, ["Resolved", by, took and f"after {took}"]))
        return said if status in ("resolved", None) else "Was resolved, and is open again"
    if happening == Happening.ACKNOWLEDGED:
        took = lasted(opened, incident.get("acknowledged_at"))
        return " ".join(
            ["Acknowledged", f"by {who or 'a person'}", took and f"after {took}"]
        ).strip()
    since = when(opened)
    has_it = f"; {who} has it" if who and status == "acknowledged" else ""
    if happening == Happening.UPDATED:
        news = "Fixed and verified" if fixed.is_mended(document) else "Update"
        return (f"{news}; open since {since}" if since else news) + has_it
    return f"Opened {since}".strip() + has_it


def _where(incident: Mapping[str, Any]) -> str:
    target, rule = line(incident.get("target"), 80), line(incident.get("rule"), 80)
    return ", ".join([target or "no target", f"rule {rule}" if rule else "no rule"])


def _links(document: Mapping[str, Any]) -> dict[str, str]:
    """The most useful first; nothing from outside may go by the name of ours."""
    named = links(document.get("links"), 50)
    found = {name: href for name, href in named.items() if name not in OURS.values()}
    order = [*(name for name in _FIRST_LINKS if name in found), *found]
    shown = list(dict.fromkeys(order))[:MAX_LINKS]
    return {OURS.get(name, name): found[name] for name in shown}
