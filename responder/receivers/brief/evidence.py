"""What shows the cause: the rows of the findings, and the questions that failed."""

from collections.abc import Iterator, Mapping
from typing import Any

from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.table import table
from responder.receivers.brief.text import line, mapping, number, records

MAX_TABLES = 2
MAX_ERRORS = 4
MAX_ANSWERS = 4


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """Without a cause, what was asked and answered is all that there is to look at."""
    answers = records(document.get("diagnosis"))
    findings = records(document.get("findings"))
    pieces = list(_rows_of(findings)) if findings else list(_answered(answers))
    pieces += _errors(answers)
    if pieces:
        yield Part("Evidence", tuple(pieces))


def _rows_of(findings: list[Mapping[str, Any]]) -> Iterator[Piece]:
    shown = [each for each in findings if records(each.get("rows"))]
    for finding in shown[:MAX_TABLES]:
        caption = line(finding.get("name"), 80) if len(findings) > 1 else ""
        yield Piece(caption, rows=table(records(finding.get("rows"))))


def _answered(answers: list[Mapping[str, Any]]) -> Iterator[Piece]:
    good = [each for each in answers if each.get("status") == "ok"]
    for answer in good[:MAX_ANSWERS]:
        question, rows = line(answer.get("question"), 200), records(answer.get("rows"))
        if rows:
            yield Piece(question, rows=table(rows, number(answer.get("row_count")), most=3))
        else:
            yield Piece(f"{question} No rows.")


def _errors(answers: list[Mapping[str, Any]]) -> Iterator[Piece]:
    """A question that was not asked because an earlier one failed says nothing new."""
    failed = [
        (line(answer.get("question"), 200), line(error.get("message"), 300))
        for answer in answers
        if (error := mapping(answer.get("error"))) and error.get("kind") != "behind"
    ]
    told = [f"{question} Failed: {message}" for question, message in failed[:MAX_ERRORS]]
    if told:
        yield Piece("\n".join(told))
