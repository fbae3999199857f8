"""What a target's catalogue knows of the names in a text, asked with the reading role."""

from collections.abc import Collection, Sequence
from datetime import datetime

from responder.domain.answer import Error, ErrorKind
from responder.domain.settings import Target
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.runbook.outside import Body
from responder.targets.errors import Unanswered
from responder.targets.reading import Question, ask

_FILE = shipped("sql") / "targets" / "catalogue.sql"
_BODIES = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)["bodies"]


def look_up(
    target: Target, names: Collection[str], tables: Collection[str], asked_at: datetime
) -> Sequence[Body]:
    """Functions, views, foreign tables and triggers' functions, with their texts. Unanswered."""
    bound = {"names": sorted(names), "tables": sorted(tables)}
    question = Question("bodies", _BODIES.sentence, "sql", _BODIES.sql, parameters=bound)
    answer = ask(target, question, asked_at)
    if answer.error is not None:
        raise Unanswered(answer.error)
    if answer.truncated:
        why = "too much of the catalogue has these names to be looked at"
        raise Unanswered(Error(ErrorKind.STATEMENT, "", why))
    return [Body(**row) for row in answer.rows]
