"""What was fixed, by whom, and how that was verified, with the numbers before and after."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.table import cell
from responder.receivers.brief.text import lasted, line, mapping, moment, number, records, when

MAX_FIXES = 2
MAX_CHANGES = 5
#: A column with more different values says nothing when it is counted.
_FEW = 3
_SHORT = 30

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
    """How far the fix is that the responder decided on."""
    fix = _newest(document)
    option = mapping(document.get("decision")).get("option")
    if not fix or _is_earlier(document, fix) or fix.get("status") in ("started", "recorded"):
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
    return next(reversed(records(document.get("fixes"))), {})


def _piece(document: Mapping[str, Any], fix: Mapping[str, Any]) -> Piece:
    actor = mapping(fix.get("actor"))
    name = line(actor.get("name"), 80) if actor.get("kind") == "person" else "the responder"
    at = when(fix.get("ended_at") or fix.get("started_at"))
    said = [f"{_title(document, fix.get('option'))}, by {name}" + (f", {at}" if at else "")]
    said.append(_how_far(fix))
    counts = [
        f"{number(count):,} rows of {line(table, 80)}"
        for table, count in mapping(fix.get("counts")).items()
    ]
    if counts and fix.get("status") == "committed":
        said.append(f"Changed: {', '.join(counts[:MAX_CHANGES])}.")
    return Piece("\n".join(filter(None, said)), rows=_before_and_after(fix))


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
    if status != "committed":
        return f"{_TOLD.get(status, status)} {reason}".strip()
    verification = line(fix.get("verification"), 20)
    took = lasted(fix.get("ended_at"), fix.get("verified_at")) if verification == "held" else ""
    told = _VERIFIED.get(verification, "Made.")
    return f"{told[:-1]}, after {took}." if took else told


def _before_and_after(fix: Mapping[str, Any]) -> str:
    """The columns whose values changed, each value with the number of rows that have it."""
    before, after = records(fix.get("before")), records(fix.get("after"))
    if not before or not after or fix.get("status") != "committed":
        return ""
    names = [name for name in before[0] if name in after[0]]
    changes = []
    for name in names[:100]:
        old, new = (Counter(cell(row.get(name)) for row in rows) for rows in (before, after))
        if old != new and max(len(old), len(new)) <= _FEW:
            changes.append((line(name, _SHORT), _counted(old), _counted(new)))
    shown = [("", "before", "after"), *changes[:MAX_CHANGES]]
    wide = [max(len(row[place]) for row in shown) for place in range(2)]
    told = [f"{name:<{wide[0]}}  {old:<{wide[1]}}  {new}".rstrip() for name, old, new in shown]
    return "\n".join(told) if changes else ""


def _counted(values: Counter[str]) -> str:
    """`12 x failed`, or how many values there are when they would need too much room."""
    told = ", ".join(f"{count} x {value or 'empty'}" for value, count in values.items())
    return told if len(told) <= _SHORT else f"{len(values)} different values"
