"""Which grants on a target the statements of the loaded rules need, worked out from their text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from responder.runbook.grants import Grant, NotRead, grants_of
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Sql


class Role(StrEnum):
    """Who asks, and who changes."""

    READING = "reading"
    FIXING = "fixing"


#: Of the statements of an option, by what stands behind its name. What runs outside of a
#: transaction does so under the login of `direct_url`, which owns what it works on.
_ENDINGS = {
    Role.READING: ("_verify", "_check"),
    Role.FIXING: ("", "_before", "_verify", "_after", "_undo"),
}


@dataclass
class Needs:
    """What one role needs on a target.

    tables: the grants on them. functions: all that are called, most of them PostgreSQL's own.
    views: names that begin with pg_, of PostgreSQL or an extension, which everybody may read.
    unread: statements whose needs nobody could work out.
    """

    role: Role
    tables: list[Grant] = field(default_factory=list)
    functions: list[Grant] = field(default_factory=list)
    views: list[Grant] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def sees_statistics(self) -> bool:
        """Whether rows of other sessions in PostgreSQL's statistics are read."""
        return any(view.on.name.startswith("pg_stat_") for view in self.views)


def needs_of(role: Role, rules: Iterable[LoadedRule]) -> Needs:
    """What the statements need that these rules run in this role."""
    needs = Needs(role)
    locks: list[Grant] = []
    for rule in rules:
        for name, part in _statements(role, rule):
            reason = f"{rule.name}: {part}"
            try:
                found = grants_of(rule.statements[name].sql)
            except NotRead:
                needs.unread.append(f"{rule.name}: {name}")
                continue
            for grant in found.tables:
                _merge(needs.views if grant.on.system else needs.tables, grant, reason)
            for called in found.functions:
                _merge(needs.functions, Grant("EXECUTE", called), reason)
            for grant in found.locks:
                _merge(locks, grant, reason)
    updated = {grant.on for grant in needs.tables if grant.privilege == "UPDATE"}
    needs.tables += [lock for lock in locks if lock.on not in updated]
    for grants in (needs.tables, needs.functions, needs.views):
        grants.sort(key=lambda grant: (grant.on, grant.privilege))
    for grant in needs.tables:
        grant.columns.sort()
    return needs


def _statements(role: Role, rule: LoadedRule) -> Iterator[tuple[str, str]]:
    """The statements that this role runs, each with its question or option.

    Verifications are asked by both roles.
    """
    if role == Role.READING:
        yield from ((part.name, part.name) for part in rule.diagnostics if isinstance(part, Sql))
    for option in rule.rule.options:
        if option.run or (role == Role.FIXING and not option.transactional):
            continue
        for ending in _ENDINGS[role]:
            if option.name + ending in rule.statements:
                yield option.name + ending, option.name


def _merge(grants: list[Grant], new: Grant, reason: str) -> None:
    known = next((g for g in grants if (g.privilege, g.on) == (new.privilege, new.on)), None)
    if known is None:
        grants.append(known := new)
    elif known.columns and new.columns:
        known.columns += [column for column in new.columns if column not in known.columns]
    else:
        known.columns = []
    if reason not in known.reasons:
        known.reasons.append(reason)
