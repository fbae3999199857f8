"""Files of named SQL statements: each under `-- name: x` with one sentence about it."""

import re
from dataclasses import dataclass

_HEADER = re.compile(r"^-- name: *(?P<name>[a-z][a-z0-9_]*) *$", re.MULTILINE)


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
    statements: dict[str, Statement] = {}
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        name = header["name"]
        body = text[header.end() : following.start() if following else len(text)].strip()
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
