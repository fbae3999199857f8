"""What the demo does in databases by itself: it makes them, and plays the shop's own software."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.embedded import LocalPostgres
from responder.runbook.loader import load
from responder.runbook.needs import Role, needs_of
from responder.targets.script import script

#: The roles of the shop that the responder logs in with.
ROLES = {"responder_reading": Role.READING, "responder_writing": Role.FIXING}
#: What is caught by those who go on without the database, for example while it is stopped.
DatabaseError = psycopg.Error

_FOLDER = shipped("sql") / "demo"
_SCENES = parse_statements((_FOLDER / "scenes.sql").read_text(encoding="utf-8"), "scenes.sql")


def make_database(server: LocalPostgres, name: str) -> str:
    """The URL of a database of this name, which is made when it is missing."""
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    with (
        suppress(psycopg.errors.DuplicateDatabase),
        psycopg.connect(server.url(), autocommit=True) as connection,
    ):
        connection.execute(statement)
    return server.url(name)


def make_shop(url: str, passwords: dict[str, str], runbook: Path | None = None) -> None:
    """The shop's tables and rows in an empty database, and the roles as `responder roles` says.

    passwords: by role, set for the whole server. runbook: what the roles are for; else the shipped.
    """
    rules = load(runbook or shipped("rules").parent)
    needs = [(name, needs_of(role, rules)) for name, role in ROLES.items()]
    with psycopg.connect(url) as connection:
        for name in ("shop.sql", "shop_rows.sql"):
            connection.execute((_FOLDER / name).read_bytes())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(script("shop", needs, ["public"]).encode())
        for role, password in passwords.items():
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


class Session:
    """A connection of the shop's software; each scene is committed at once. DatabaseError."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = psycopg.connect(
            url, autocommit=True, row_factory=dict_row, connect_timeout=2, application_name=name
        )

    def play(self, scene: str, **parameters: Any) -> list[dict[str, Any]]:
        """One statement of sql/demo/scenes.sql; its rows."""
        cursor = self._connection.execute(_SCENES[scene].sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
