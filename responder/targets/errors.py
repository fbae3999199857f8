"""What a target's complaints mean, in the words of `ErrorKind`.

psycopg gives no SQLSTATE when a connection cannot be made, so those are told by their text.
"""

from collections.abc import Sequence

import psycopg

from responder.domain.answer import Error, ErrorKind
from responder.domain.redaction import SECRETS

_BY_CODE = {
    "25006": ErrorKind.READ_ONLY,
    "42501": ErrorKind.DENIED,
    "53100": ErrorKind.DISK_FULL,
    "53300": ErrorKind.TOO_MANY,
    "55P03": ErrorKind.TIMEOUT,  # a lock was not got within lock_timeout
    "57014": ErrorKind.TIMEOUT,
    "57P01": ErrorKind.STARTING,
    "57P02": ErrorKind.STARTING,
    "57P03": ErrorKind.STARTING,
}
_BY_CLASS = {"08": ErrorKind.LOST, "28": ErrorKind.LOGIN, "3D": ErrorKind.LOGIN}

#: Lower-case words of libpq, servers and poolers; the first that occurs decides.
_BY_TEXT: Sequence[tuple[str, ErrorKind, str]] = (
    ("too many clients", ErrorKind.TOO_MANY, "53300"),
    ("remaining connection slots", ErrorKind.TOO_MANY, "53300"),
    ("too many connections for", ErrorKind.TOO_MANY, "53300"),
    ("no more connections allowed", ErrorKind.TOO_MANY, "53300"),
    ("max client", ErrorKind.TOO_MANY, "53300"),
    ("the database system is", ErrorKind.STARTING, "57P03"),
    ("terminating connection due to administrator", ErrorKind.STARTING, "57P01"),
    ("password authentication failed", ErrorKind.LOGIN, "28P01"),
    ("no password supplied", ErrorKind.LOGIN, "28P01"),
    ("no pg_hba.conf entry", ErrorKind.LOGIN, "28000"),
    ("is not permitted to log in", ErrorKind.LOGIN, "28000"),
    ("not currently accepting connections", ErrorKind.LOGIN, "55000"),
    ("permission denied for database", ErrorKind.LOGIN, "42501"),
    ('fatal:  role "', ErrorKind.LOGIN, "28000"),
    ('fatal:  database "', ErrorKind.LOGIN, "3D000"),
    ("fatal:", ErrorKind.LOGIN, ""),
    ("ssl", ErrorKind.LOGIN, ""),
    ("certificate", ErrorKind.LOGIN, ""),
    ("connection refused", ErrorKind.REFUSED, ""),
    ("no such file or directory", ErrorKind.REFUSED, ""),
    ("server closed the connection", ErrorKind.LOST, ""),
    ("connection reset", ErrorKind.LOST, ""),
)
_LONGEST = 300


class Unanswered(Exception):
    """A question that brought an error instead of rows."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


def connect_error(error: psycopg.Error) -> Error:
    """Why no session could be opened; what nobody recognises is a host out of reach."""
    text = str(error)
    if "resolve host" in text or "translate host name" in text:
        # The name may be a part of a password that holds an @.
        return Error(ErrorKind.UNREACHABLE, "", "the host's name cannot be resolved")
    known = (row for row in _BY_TEXT if row[0] in text.lower())
    _, kind, code = next(known, ("", ErrorKind.UNREACHABLE, ""))
    return Error(kind, code, one_line(text.rpartition("failed: ")[2]))


def session_error(error: psycopg.Error) -> Error:
    """Why a statement of an open session failed."""
    code = error.sqlstate or ""
    if not code and isinstance(error, psycopg.OperationalError):
        return Error(ErrorKind.LOST, "", one_line(str(error)))
    kind = _BY_CODE.get(code) or _BY_CLASS.get(code[:2]) or ErrorKind.STATEMENT
    return Error(kind, code, one_line(error.diag.message_primary or str(error)))


def one_line(text: str) -> str:
    """The first line without a secret, short enough for a pager."""
    return SECRETS.text((text.strip().splitlines() or [""])[0])[:_LONGEST]
