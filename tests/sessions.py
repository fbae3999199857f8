"""Sessions of the tests' own, kept: to begin one costs more than most of what it is asked."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from responder.embedded import LocalPostgres


class Sessions:
    """Idle sessions by URL; threads may share them, for nobody gets one that is in use."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._idle: defaultdict[str, list[psycopg.Connection[Any]]] = defaultdict(list)

    @contextmanager
    def one(self, url: str) -> Iterator[psycopg.Connection[Any]]:
        """A session as if it were new, in autocommit; after an exception it is not used again."""
        connection = self._take(url)
        with ExitStack() as on_failure:
            on_failure.enter_context(closing(connection))
            yield connection
            connection.execute("DISCARD ALL")
            on_failure.pop_all()
        self._idle[url].append(connection)

    def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _take(self, url: str) -> psycopg.Connection[Any]:
        while self._idle[url]:
            connection = self._idle[url].pop()
            if _answers(connection):
                return connection
            connection.close()
        return psycopg.connect(url, autocommit=True, prepare_threshold=None, **self._options)


def _answers(connection: psycopg.Connection[Any]) -> bool:
    """Asked, since one that a test has ended a moment ago may not have said so yet."""
    try:
        connection.execute("SELECT")
    except psycopg.OperationalError:
        return False
    return True


#: The sessions of `administer`, closed with the server that they are for.
ADMINISTRATORS = Sessions()


def administer(cluster: LocalPostgres, command: LiteralString, *names: str) -> None:
    """What stands in no transaction, with quoted names for its braces."""
    with ADMINISTRATORS.one(cluster.url()) as connection:
        connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))
