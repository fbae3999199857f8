"""Files of named SQL statements: each under `-- name: x` with one sentence about it."""

import re
from dataclasses import dataclass

_HEADER = re.compile(r"^-- name: *(?P<name>[a-z][a-z0-9_]*) *$", re.MULTILINE)
_NEARLY = re.compile(r"^-- *name *:.*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """sql: one statement with %(name)s parameters, no semicolon; sentence: what it is for."""

    name: str
    sql: str
    sentence: str

    def needs(self) -> frozenset[str]:
        """The names of the parameters that the statement binds."""
        return frozenset(re.findall(r"%\((\w+)\)s", self.sql))


def parse_statements(text: str, origin: str) -> dict[str, Statement]:
    """The statements of a file by name; ValueError for a second one of a name or no sentence."""
    headers = list(_HEADER.finditer(text))
    for line in _NEARLY.findall(text):
        if not _HEADER.fullmatch(line):
            raise ValueError(
                f"{origin}: {line!r} names nothing; write it like `-- name: stuck_items`"
            )
    statements: dict[str, Statement] = {}
    ends = [*(header.start() for header in headers[1:]), len(text)]
    for header, end in zip(headers, ends, strict=False):  # without headers there is one end more
        name = header["name"]
        body = text[header.end() : end].strip()
        comment = re.match(r"(?:--[^\n]*\n?)*", body)
        assert comment is not None
        sentence = " ".join(line.lstrip("- ") for line in comment[0].splitlines()).strip()
        sql = body[comment.end() :].strip().rstrip(";").rstrip()
        if name in statements:
            raise ValueError(f"{origin}: two statements are named {name}")
        if not sentence or not sql:
            raise ValueError(f"{origin}: {name} needs one sentence in a comment, then SQL")
        statements[name] = Statement(name, sql, sentence)
    return statements
