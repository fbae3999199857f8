"""The script that gives a target its roles: what the rules' statements need, and nothing more."""

import json
import textwrap
from collections.abc import Iterator, Sequence

from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.runbook.grants import Grant, is_common, quote_identifier
from responder.runbook.needs import Needs, Role

#: Four slots over all hosts, or a fix and its verification, and what is being cut off meanwhile.
CONNECTIONS = 8

_FILE = shipped("sql") / "targets" / "roles.sql"
_BLOCKS = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)
_WIDTH = 100
_WHAT = {
    Role.READING: "asks diagnostics and verifications, and cannot write",
    Role.FIXING: "carries out options of the rules",
}


def script(target: str, needs: Sequence[tuple[str, Needs]], schemas: Sequence[str]) -> str:
    """SQL for whoever administers the target; needs: by name of a role.

    It stands in one transaction, changes nothing when it is run again, and holds no password.
    schemas: where the target keeps the tables that statements name without a schema.
    """
    lines = [
        f"-- The responder's roles on target {_one_line(target)}, as the loaded rules need them.",
        "-- Run it in the database of the target, as the owner of its tables who may create roles;",
        "-- run it again when the rules have changed. Passwords are yours to set: see the end.",
        "BEGIN;",
        f"SET LOCAL search_path = {', '.join(map(quote_identifier, schemas))};",
    ]
    for name, needed in needs:
        lines += ["", *_role(name, needed, schemas)]
    lines += ["", "COMMIT;", "", "-- With psql, which sends no password in the clear:"]
    lines += [f"--   \\password {quote_identifier(_one_line(name))}" for name, _ in needs]
    return "\n".join(lines) + "\n"


def _role(name: str, needs: Needs, schemas: Sequence[str]) -> Iterator[str]:
    role = quote_identifier(name)
    yield f"-- The {needs.role} role {_WHAT[needs.role]}."
    yield f"SET LOCAL responder.role = {_literal(name)};"
    kept = "pg_read_all_stats" if needs.sees_statistics else ""
    yield f"SET LOCAL responder.membership = '{kept}';"
    yield from _block("make")
    yield f"ALTER ROLE {role} LOGIN CONNECTION LIMIT {CONNECTIONS};"
    # No default_transaction_read_only: a role's own setting would hide the server's, by which
    # `database_down` sees that nobody can write. Each session is read only, and grants are none.
    yield from _block("see_all_rows")
    yield from _block("take_back")
    if needs.sees_statistics:
        yield from _block("see_statistics")
    yield from _block("connect")
    for schema in sorted({*schemas, *_named_schemas(needs)}):
        yield f"GRANT USAGE ON SCHEMA {quote_identifier(schema)} TO {role};"
    for grant in needs.tables:
        yield from _because(grant)
        columns = f" ({', '.join(map(quote_identifier, grant.columns))})" if grant.columns else ""
        yield f"GRANT {grant.privilege}{columns} ON {grant.on} TO {role};"
    yield from _listed("views", needs.views, "find_views")
    yield from _listed("functions", needs.functions, "let_call")
    if any(grant.privilege == "INSERT" for grant in needs.tables):
        yield from _block("let_number")
    for reason in needs.unread:
        yield f"-- Grant by hand what {reason} needs: nobody could work it out."


def _named_schemas(needs: Needs) -> Iterator[str]:
    for grant in (*needs.tables, *needs.functions):
        if grant.on.schema and grant.on.schema != "pg_catalog":
            yield grant.on.schema


def _listed(what: str, grants: Sequence[Grant], block: str) -> Iterator[str]:
    """Names that only the target itself can tell apart: its own, an extension's, PostgreSQL's."""
    for grant in grants:
        if not is_common(grant.on):
            yield from _because(grant, f"{grant.on} for ")
    names = [".".join(part for part in (each.on.schema, each.on.name) if part) for each in grants]
    yield f"SET LOCAL responder.{what} = {_literal(json.dumps(names))};"
    yield from _block(block)


def _because(grant: Grant, what: str = "") -> Iterator[str]:
    rules: dict[str, list[str]] = {}
    for reason in grant.reasons:
        rule, _, statement = reason.partition(": ")
        rules.setdefault(rule, []).append(statement)
    said = what + "; ".join(f"{rule}: {', '.join(names)}" for rule, names in rules.items())
    yield from textwrap.wrap(
        _one_line(said), _WIDTH, initial_indent="-- ", subsequent_indent="--   "
    )


def _block(name: str) -> Iterator[str]:
    yield f"-- {_BLOCKS[name].sentence}"
    yield f"{_BLOCKS[name].sql};"


def _literal(text: str) -> str:
    """As a string of SQL, whatever standard_conforming_strings says."""
    quoted = text.replace("'", "''")
    return f"E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in quoted else f"'{quoted}'"


def _one_line(text: str) -> str:
    """For a comment, which ends at the line's end."""
    return " ".join(text.split())
