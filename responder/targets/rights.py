"""Can the roles of a target do what the rules need, and nothing more?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from responder.domain.answer import Error
from responder.domain.settings import Target
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.runbook.grants import Grant
from responder.runbook.needs import Needs, Role
from responder.targets.reading import Question, ask

_FILE = shipped("sql") / "targets" / "rights.sql"
_RIGHTS = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)["rights"]
_SECONDS = 4.0


@dataclass(frozen=True)
class Excess:
    """Something that a role can do and no rule needs; cure: what takes it away."""

    what: str
    cure: str


@dataclass(frozen=True)
class Rights:
    """What a target says of one of our roles; nothing with an error, or when it was not asked.

    ms: how long it took.
    """

    target: str
    kind: Role
    role: str = ""
    excess: Sequence[Excess] = ()
    missing: Sequence[str] = ()
    ms: float = 0.0
    error: Error | None = None
    not_asked: str = ""


def ask_rights(target: Target, needs: Needs, asked_at: datetime) -> Rights:
    """Asked as diagnostics are, with the role's own login; what the target accepts is left out."""
    parameters = {
        "tables": json.dumps([_plain(grant) for grant in needs.tables]),
        "functions": json.dumps([_plain(grant) for grant in needs.functions]),
        "statistics": needs.sees_statistics,
    }
    login = target.reading if needs.role == Role.READING else target.writing
    if login is None:
        return Rights(target.name, needs.role)
    question = Question(
        "rights", _RIGHTS.sentence, "sql", _RIGHTS.sql, parameters, timeout=_SECONDS
    )
    answer = ask(replace(target, reading=login), question, asked_at)
    if answer.error is not None:
        return Rights(target.name, needs.role, error=answer.error)
    return Rights(
        target.name,
        needs.role,
        answer.rows[0]["role"],
        [
            Excess(row["what"], row["cure"])
            for row in answer.rows
            if row["excess"] and row["what"] not in target.accepts
        ],
        [row["what"] for row in answer.rows if row["excess"] is False],
        answer.ms,
    )


def _plain(grant: Grant) -> dict[str, object]:
    return {
        "privilege": grant.privilege,
        "schema": grant.on.schema,
        "name": grant.on.name,
        "columns": grant.columns,
        "written": str(grant.on),
    }
