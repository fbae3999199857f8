"""What was fixed, by whom, and how that was verified, with the rows before and after."""

from collections.abc import Iterator, Mapping
from typing import Any

from responder.receivers.brief.changes import changes, has_rows
from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.text import (
    lasted,
    line,
    mapping,
    moment,
    number,
    records,
    when,
    words,
)

MAX_FIXES = 2
MAX_CHANGES = 5
MAX_LEFT = 10
#: Why a fix that was only tried was rolled back.
TRIED = "dry run"

_VERIFIED = {
    "waiting": "Made; whether the cause is gone is being verified.",
    "held": "Made and verified: the cause is gone.",
    "failed": "Made; the cause is still there.",
    "not_asked": "Made; whether the cause is gone could not be asked.",
}
_TOLD = {
    "started": "Under way.",
    "recorded": "Under way.",
    "rolled_back": "Rolled back; nothing was changed.",
    "refused": "Not made.",
    "unknown": "Nobody can say whether it was made: look before you repeat it.",
    "undone": "Made, and undone.",
}


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """The newest fixes, the last one first; one from before the decision mended something else."""
    newest = records(document.get("fixes"))[::-1]
    pieces = [_piece(document, fix) for fix in newest[:MAX_FIXES]]
    if len(newest) > MAX_FIXES:
        pieces.append(Piece(f"... {len(newest) - MAX_FIXES} earlier"))
    if pieces:
        yield Part("Earlier fix" if _is_earlier(document, newest[0]) else "Fix", tuple(pieces))


def is_mended(document: Mapping[str, Any]) -> bool:
    """Nothing is left to do: what was decided on was fixed, and the cause is gone."""
    fix = _newest(document)
    decided = mapping(document.get("decision")).get("action") == "fix"
    held = fix.get("status") == "committed" and fix.get("verification") == "held"
    return decided and held and not _is_earlier(document, fix)


def in_a_sentence(document: Mapping[str, Any]) -> str:
    """How far the fix is that the responder decided on, or what a person did since."""
    fix = _newest(document)
    option = mapping(document.get("decision")).get("option")
    begun = bool(fix) and not _is_earlier(document, fix)
    if begun and mapping(fix.get("actor")).get("kind") == "person":
        return f"{_named(document, fix)}: {_how_far(fix)}"
    if not begun or fix.get("status") in ("started", "recorded"):
        return f"The responder is fixing it now: {_title(document, option)}."
    if is_mended(document):
        return "Fixed by the responder and verified: the cause is gone. Nothing is left to do."
    return f"{_title(document, option)}: {_how_far(fix)}"


def _is_earlier(document: Mapping[str, Any], fix: Mapping[str, Any]) -> bool:
    """It ended before this decision was made, and the decision is not about how it ended."""
    decision = mapping(document.get("decision"))
    ended, decided = moment(fix.get("ended_at")), moment(decision.get("at"))
    about_it = decision.get("reason") in ("fix_failed", "not_verified", "unknown")
    return ended is not None and decided is not None and ended < decided and not about_it


def _newest(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last one that counts: not what was only tried, nor an undo that came to nothing."""
    fixes = [each for each in records(document.get("fixes")) if each.get("dry_run") is not True]
    nothing = ("rolled_back", "refused")
    made = [each for each in fixes if not each.get("undoes") or each.get("status") not in nothing]
    return next(reversed(made), {})


def _piece(document: Mapping[str, Any], fix: Mapping[str, Any]) -> Piece:
    at = when(fix.get("ended_at") or fix.get("started_at"))
    said = [_named(document, fix) + (f", {at}" if at else "")]
    said.append(_how_far(fix))
    counts = [
        f"{number(count):,} rows of {line(table, 80)}"
        for table, count in mapping(fix.get("counts")).items()
    ]
    if counts and has_rows(fix):
        would = "It would change" if fix.get("dry_run") is True else "Changed"
        said.append(f"{would}: {', '.join(counts[:MAX_CHANGES])}.")
    said.append(_left(fix))
    rows = changes(fix) if has_rows(fix) else ""
    return Piece("\n".join(filter(None, said)), rows=rows)


def _left(fix: Mapping[str, Any]) -> str:
    """The rows that an undo left alone, by their ids."""
    ids = words(fix.get("left"))
    if not ids:
        return ""
    named = ", ".join(line(each, 40) for each in ids[:MAX_LEFT])
    more = f" and {len(ids) - MAX_LEFT:,} more" if len(ids) > MAX_LEFT else ""
    return f"Left as they are, since they changed after the fix or are gone: {named}{more}."


def _named(document: Mapping[str, Any], fix: Mapping[str, Any]) -> str:
    """What was done, and by whom."""
    actor = mapping(fix.get("actor"))
    name = line(actor.get("name"), 80) if actor.get("kind") == "person" else "the responder"
    of = "Undo of: " if fix.get("undoes") else ""
    return f"{of}{_title(document, fix.get('option'))}, by {name}"


def _title(document: Mapping[str, Any], option: object) -> str:
    """What the runbook calls an option; its name when the runbook does not know it any more."""
    titles = {
        each.get("name"): line(each.get("title"), 200)
        for each in records(document.get("options"))
        if isinstance(each.get("name"), str)
    }
    return (titles.get(option) if isinstance(option, str) else "") or line(option, 80) or "A fix"


def _how_far(fix: Mapping[str, Any]) -> str:
    status, reason = line(fix.get("status"), 20), line(fix.get("reason"), 300)
    if reason == TRIED:
        return "A dry run: made, looked at and taken back; nothing was changed."
    if status != "committed":
        return f"{_TOLD.get(status, status)} {reason}".strip()
    verification = line(fix.get("verification"), 20)
    took = lasted(fix.get("ended_at"), fix.get("verified_at")) if verification == "held" else ""
    told = _VERIFIED.get(verification, "Made.")
    return f"{told[:-1]}, after {took}." if took else told
