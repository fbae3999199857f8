"""Is the diagnosing role of a target really one that cannot write?"""

from datetime import datetime

from responder.domain.answer import Answer
from responder.domain.settings import Target
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.targets.reading import Question, ask

_FILE = shipped("sql") / "targets" / "rights.sql"
_RIGHTS = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)["rights"]
_SECONDS = 2.0


def ask_rights(target: Target, asked_at: datetime) -> Answer:
    """One row: role, superuser, writable (tables) and an example; asked as diagnostics are."""
    question = Question("rights", _RIGHTS.sentence, "sql", _RIGHTS.sql, timeout=_SECONDS)
    return ask(target, question, asked_at)
