"""Audit events as sentences, for people; one of a kind that is not known here is told plainly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """One event: what happened, by whom, when; `more`: what else it says, `tone`: its colour."""

    at: datetime
    sentence: str
    who: str
    more: str = ""
    tone: str = ""


def told(event: Row, notes: Mapping[str, str] | None = None) -> Told:
    """An audit event; notes: the texts of notes by their ids, which no event holds."""
    tell = _TELLERS.get(event["what"], _anything)
    details = event["details"]
    sentence, tone = tell(event, details)
    more = (notes or {}).get(details.get("note", ""), "") or str(details.get("why") or "")
    if more.lower() in sentence.lower():
        more = ""
    return Told(event["at"], sentence, who(event), more, tone)


def who(event: Row) -> str:
    """Who did it: people and senders by their name, the rest by what it is."""
    kind, name = event["actor_kind"], event["actor"]
    return f"sender {name}" if kind == "sender" else str(name)


def listed(names: Sequence[Any]) -> str:
    """One, two and three."""
    said = [str(name) for name in names]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def _plain(word: str | None) -> str:
    return (word or "").replace("_", " ")


def _opened(event: Row, details: Row) -> tuple[str, str]:
    rule = f"rule {details['rule']} answers it" if details.get("rule") else "no rule answers it"
    on = f" on {details['target']}" if details.get("target") else ""
    return f"Opened at {details.get('severity')}{on}; {rule}.", str(details.get("severity")).lower()


def _stage(event: Row, details: Row) -> tuple[str, str]:
    answers, findings = details.get("answers"), details.get("findings")
    if answers:
        bad = [name for name, status in answers.items() if status != "ok"]
        asked = "1 question" if len(answers) == 1 else f"{len(answers)} questions"
        lacking = f", without an answer: {listed(bad)}" if bad else ""
        found = (
            f"found: {listed([_plain(each) for each in findings])}" if findings else "nothing found"
        )
        return f"Asked {asked}{lacking}; {found}.", "busy"
    words = {
        "diagnose": "Diagnoses.",
        "plan": "Decides.",
        "fix": "Goes on to a fix.",
        "verify": "Verifies the fix.",
        "watch": "Watches.",
        "done": "Done.",
    }
    return words.get(event["after"], f"Stage {event['after']}."), ""


def _decision(event: Row, details: Row) -> tuple[str, str]:
    if event["after"] == "outdated":
        return "What was decided is outdated; it diagnoses anew.", "warn"
    option = f" {details['option']}" if details.get("option") else ""
    acts = {
        "fix": f"Decided to fix it by{option}",
        "propose": f"Proposes{option} to people",
        "hand_over": "Hands it over to people",
        "wait": "Waits",
    }
    said = acts.get(event["after"], event["after"])
    return f"{said}: {_plain(details.get('reason'))}.", "busy"


def _fix(event: Row, details: Row) -> tuple[str, str]:
    tried = details.get("reason") == "dry run"
    status, dry = event["after"], details.get("dry_run") or tried
    tones = {"committed": "good", "undone": "warn", "unknown": "bad", "rolled_back": "warn"}
    kind = "Dry run" if dry else "Undo" if details.get("undoes") else "Fix"
    option = f" {details['option']}" if details.get("option") else ""
    said = "nothing kept" if tried else _plain(status)
    return f"{kind}{option}: {said}.", "" if tried else tones.get(status, "busy")


def _verification(event: Row, details: Row) -> tuple[str, str]:
    said = {
        "held": ("The cause is gone: the fix held.", "good"),
        "failed": ("The cause is still there: the fix did not hold.", "bad"),
        "not_asked": ("It is not asked any more whether the fix held.", "warn"),
        "waiting": ("The cause is asked for again after a while.", ""),
    }
    return said.get(event["after"], (f"Verification: {_plain(event['after'])}.", ""))


def _status(event: Row, details: Row) -> tuple[str, str]:
    said = {"acknowledged": "Acknowledged", "resolved": "Resolved", "open": "Open again"}
    tones = {"acknowledged": "busy", "resolved": "good", "open": "bad"}
    return f"{said.get(event['after'], event['after'])}.", tones.get(event["after"], "")


def _notification(event: Row, details: Row) -> tuple[str, str]:
    receiver, happening = details.get("receiver", "a receiver"), _plain(details.get("happening"))
    what = "page" if details.get("page") else "message"
    about = f" ({happening})" if happening else ""
    said = {
        "sent": f"Sent a {what} to {receiver}{about}.",
        "dead": f"Gave up a {what} to {receiver}{about}.",
        "due": f"A {what} to {receiver} is tried again{about}.",
        "superseded": f"A {what} to {receiver} was not needed any more{about}.",
    }
    return said.get(event["after"], f"{what.capitalize()} to {receiver}: {event['after']}."), (
        "bad" if event["after"] == "dead" else ""
    )


def _page(event: Row, details: Row) -> tuple[str, str]:
    receivers = details.get("receivers")
    to = f" to {listed(receivers)}" if receivers else ""
    return f"A page is due{to}: {_plain(details.get('why'))}.", "p1"


def _escalation(event: Row, details: Row) -> tuple[str, str]:
    told = listed(details.get("told") or [])
    said = {
        "climbed": f"Escalated to level {details.get('level')}: {told}.",
        "repeated": f"Woke level {details.get('level')} once more: {told}.",
        "nobody_available": "Nobody of the next level is available now.",
        "nobody_left": "There is nobody left to tell.",
        "held_back": "A maintenance window keeps the escalation back.",
    }
    return said.get(event["after"], f"Escalation: {_plain(event['after'])}."), "p1"


def _approval(event: Row, details: Row) -> tuple[str, str]:
    option = details.get("option", "")
    if event["after"] == "waiting":
        return f"Approved {option} as the first of two.", "busy"
    return f"Approved {option} as the second, after {details.get('first')}.", "good"


def _autofix(event: Row, details: Row) -> tuple[str, str]:
    on = event["after"] == "on"
    return f"Switched automatic fixes {event['after']}.", "good" if on else "bad"


def _review(event: Row, details: Row) -> tuple[str, str]:
    tones = {"useful": "good", "wrong": "warn", "harmful": "bad"}
    return f"Judged what was done as {event['after']}.", tones.get(event["after"], "")


def _session(event: Row, details: Row) -> tuple[str, str]:
    return ("Logged in." if event["after"] == "begun" else "Logged out."), ""


def _denied(event: Row, details: Row) -> tuple[str, str]:
    asked_for = details.get("asked_for") or event["subject"]
    return f"Was denied {asked_for}: {details.get('why')}.", "warn"


def _simple(text: str, tone: str = "") -> Callable[[Row, Row], tuple[str, str]]:
    return lambda event, details: (text, tone)


def _change(thing: str) -> Callable[[Row, Row], tuple[str, str]]:
    """What has a state and a subject: its name, and where it came to."""

    def tell(event: Row, details: Row) -> tuple[str, str]:
        subject = event.get("subject") or ""
        name = details.get("name") or details.get("reason") or subject.partition(" ")[2] or subject
        after = _plain(event["after"])
        if event["before"]:
            after = f"from {_plain(event['before'])} to {after}"
        return f"{thing} {name}: {after}.", ""

    return tell


def _maintenance(event: Row, details: Row) -> tuple[str, str]:
    """A tick names its item; all else is about the window."""
    if "item" in details:
        done = event["after"] == "ticked"
        return f"{'Ticked' if done else 'Took back the tick of'} “{details['item']}”.", ""
    return _change("Maintenance")(event, details)


def _anything(event: Row, details: Row) -> tuple[str, str]:
    """An event of a kind that this page has no words for is shown as it is."""
    steps = [_plain(each) for each in (event["before"], event["after"]) if each]
    said = " → ".join(steps)
    thing = _plain(event["what"]).capitalize()
    return (f"{thing}: {said}." if said else f"{thing}."), ""


_TELLERS: Mapping[str, Callable[[Row, Row], tuple[str, str]]] = {
    "opened": _opened,
    "stage": _stage,
    "decision": _decision,
    "fix": _fix,
    "verification": _verification,
    "status": _status,
    "acknowledgement": _simple("Is still at it; the acknowledgement holds on.", "busy"),
    "note": _simple("Wrote a note.", "p3"),
    "notification": _notification,
    "page": _page,
    "escalation": _escalation,
    "approval": _approval,
    "breaker": _simple("Reset the breaker: it may be fixed again.", "good"),
    "autofix": _autofix,
    "session": _session,
    "denied": _denied,
    "maintenance": _maintenance,
    "review": _review,
    "receiver": _change("Receiver"),
    "export": _simple("Took the incident away with its proofs."),
    "fork": _simple("Stated that a failover of our own database lost seals."),
    "secret": _change("Secret"),
    "promotion": _change("Rule"),
    "check": _change("Scheduled check of"),
    "delivery": _change("Delivery"),
    "token": _change("Token"),
}
