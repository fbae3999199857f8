"""What waits for a second person: who approved what, and until when the other one may."""

from collections.abc import Iterator, Mapping
from typing import Any

from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.text import line, mapping, records, when

MAX_APPROVALS = 3
MAX_ANSWER = 200


def approvals_of(document: Mapping[str, Any]) -> list[str]:
    """Each in a sentence; none for most incidents."""
    return [_sentence(each) for each in records(document.get("approvals"))[:MAX_APPROVALS]]


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    if told := approvals_of(document):
        yield Part("Waits for a second person", tuple(map(Piece, told)))


def _sentence(approval: Mapping[str, Any]) -> str:
    who, option = line(approval.get("actor"), 80), line(approval.get("option"), 80)
    answers = ", ".join(
        f"{line(name, 80)} = {line(answer, MAX_ANSWER)}"
        for name, answer in mapping(approval.get("parameters")).items()
    )
    what = f"{option} with {answers}" if answers else option
    until = when(approval.get("expires_at"))
    return f"{who} approved {what}. Another person must approve the very same until {until}."
