"""What the author of a rule imports; nothing else of the responder is theirs.

A rule is pure: the engine asks its diagnostics, hands it the answers as plain data, and carries out
what it offers. It holds no connection, no credential and no clock.
"""

from responder.domain.alert import Alert
from responder.domain.answer import Answer, AnswerStatus, Error, ErrorKind
from responder.runbook.rule import (
    Case,
    Finding,
    Http,
    Label,
    Option,
    Rule,
    Sql,
    Tcp,
    Within,
)

__all__ = [
    "Alert",
    "Answer",
    "AnswerStatus",
    "Case",
    "Error",
    "ErrorKind",
    "Finding",
    "Http",
    "Label",
    "Option",
    "Rule",
    "Sql",
    "Tcp",
    "Within",
]
