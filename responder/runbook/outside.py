"""What an option could do that no rollback takes back: a request, a file, another server.

As far as text tells: names that are put together while a function runs are not seen.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option

#: Extensions whose functions ask other servers, or read and write files.
_EXTENSIONS = frozenset({"dblink", "http", "pg_net", "postgres_fdw", "file_fdw", "aws_lambda"})
_REACHES = re.compile(
    r"\b(?:dblink\w*|http(?:_(?:get|post|put|patch|delete|head))?|net\s*\.\s*http_\w+|lo_export"
    r"|lo_import|postgres_fdw_\w+|pg_file_\w+)\s*\("
    r"|\bcopy\b[^;]*?\b(?:program\s+['%$]|to\s+'|from\s+')",
    re.IGNORECASE,
)
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_NAMES = re.compile(r'"([^"]+)"|\b([A-Za-z_]\w*)')
_CHANGED = re.compile(
    r"\b(?:insert\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+(?:only\s+)?"
    r'((?:"[^"]+"|\w+)(?:\s*\.\s*(?:"[^"]+"|\w+))?)',
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Body:
    """A function, a trigger's function, a view or a foreign table of a target, with its text."""

    kind: str
    name: str
    text: str = ""
    extension: str | None = None
    language: str | None = None
    trusted: bool = True

    def reaches(self) -> Iterator[str]:
        if self.kind == "foreign table":
            yield f"{self.name} is a foreign table"
        elif self.extension in _EXTENSIONS:
            yield f"{self.name} is of the extension {self.extension}"
        elif not self.trusted and self.language not in ("c", "internal"):
            yield f"{self.kind} {self.name} is written in {self.language}, which may do anything"
        else:
            yield from (f"{self.kind} {self.name} has {said}" for said in _said(self.text))


#: What a target knows under these names, and of triggers on these tables.
Look = Callable[[Collection[str], Collection[str]], Sequence[Body]]


def outside_mistakes(rule: LoadedRule, look: Look | None = None) -> Iterator[str]:
    """What reaches outside of the transaction of an option that is not marked so.

    look: into the catalogue of a target; without it the statements alone are read.
    """
    for option in rule.options.values():
        if option.run or option.outside:
            continue
        cure = "it must not be automatic, and be marked" if option.automatic else "mark it"
        for found in _reaching(rule, option, look):
            yield f"{rule.name}.{option.name} reaches outside: {found}; {cure} outside=True"


def _reaching(rule: LoadedRule, option: Option, look: Look | None) -> Iterator[str]:
    text = "\n".join(rule.statements[name].sql for name in option.statements)
    yield from (f"its statements have {said}" for said in _said(text))
    names, tables = _names(text), {*(_last(each) for each in option.changes), *_changed(text)}
    known: set[str] = set()
    asked: tuple[set[str], set[str]] = set(), set()
    while look is not None and (names or tables):
        found = [body for body in look(names, tables) if body.name not in known]
        known |= {body.name for body in found}
        asked = asked[0] | names, asked[1] | tables
        for body in found:
            yield from body.reaches()
        inner = [body.text for body in found if body.extension is None]
        names = {name for each in inner for name in _names(each)} - asked[0]
        tables = {name for each in inner for name in _changed(each)} - asked[1]


def _said(text: str) -> list[str]:
    """What reaches outside by its own words."""
    return sorted({" ".join(found[0].split()) for found in _REACHES.finditer(_plain(text))})


def _names(text: str) -> set[str]:
    return {quoted or word.lower() for quoted, word in _NAMES.findall(_plain(text))}


def _changed(text: str) -> set[str]:
    return {_last(each) for each in _CHANGED.findall(_plain(text))}


def _last(name: str) -> str:
    """The table of a name that may have a schema."""
    quoted, word = _NAMES.findall(name)[-1]
    return str(quoted or word.lower())


def _plain(text: str) -> str:
    return _COMMENTS.sub(" ", text)
