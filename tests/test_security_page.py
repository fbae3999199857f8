"""docs/security.md has each requirement of ASVS 5.0.0 up to level 2, with tests that there are."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/security.md").read_text()
#: Levels 1 and 2 of OWASP's Application Security Verification Standard 5.0.0; others are level 3.
REQUIREMENTS = """
1.1.1-2 1.2.1-9 1.3.1-11 1.4.1-3 1.5.1-2
2.1.1-3 2.2.1-3 2.3.1-4 2.4.1
3.2.1-2 3.3.1-4 3.4.1-6 3.5.1-5 3.7.1-2
4.1.1-3 4.2.1 4.3.1-2 4.4.1-4
5.1.1 5.2.1-3 5.3.1-2 5.4.1-3
6.1.1-3 6.2.1-12 6.3.1-4 6.4.1-4 6.5.1-5 6.6.1-3 6.8.1-4
7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-2 7.6.1-2
8.1.1-2 8.2.1-3 8.3.1 8.4.1
9.1.1-3 9.2.1-4
10.1.1-2 10.2.1-2 10.3.1-4 10.4.1-11 10.5.1-5 10.6.1-2 10.7.1-3
11.1.1-2 11.2.1-3 11.3.1-3 11.4.1-4 11.5.1 11.6.1
12.1.1-3 12.2.1-2 12.3.1-4
13.1.1 13.2.1-5 13.3.1-2 13.4.1-5
14.1.1-2 14.2.1-4 14.3.1-3
15.1.1-3 15.2.1-3 15.3.1-7
16.1.1 16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-3
17.1.1 17.2.1-4 17.3.1-2
"""
#: Number, what, status, by.
Row = tuple[str, str, str, str]
ROWS: list[Row] = re.findall(r"^\| ([0-9.]+) \| (.+?) \| ([a-z ]+) \| (.+) \|$", PAGE, re.M)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\(((?!https:)[^)]+)\)")


def numbers() -> Iterator[str]:
    for span in REQUIREMENTS.split():
        first, _, last = span.partition("-")
        section, _, begin = first.rpartition(".")
        yield from (f"{section}.{n}" for n in range(int(begin), int(last or begin) + 1))


@cache
def defined_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return frozenset(re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings)


def test_each_requirement_stands_there_once_and_in_order() -> None:
    assert [number for number, *_ in ROWS] == list(numbers())


def test_each_test_that_is_named_is_there() -> None:
    named = TEST.findall(PAGE)
    assert len(named) > 150
    assert [f"{path}::{name}" for path, name in named if name not in defined_in(path)] == []
    assert len(re.findall(r"::\w+", PAGE)) == len(named), "each in backquotes, as path::name"


def test_each_link_leads_somewhere() -> None:
    for link in LINK.findall(PAGE):
        path, _, anchor = link.partition("#")
        page = ROOT / "docs" / (path or "security.md")
        assert page.exists(), link
        assert not anchor or anchor in anchors(page), link


def test_each_status_has_what_it_needs() -> None:
    for number, _, status, by in ROWS:
        reason = TEST.sub("", by)
        needed = {
            "kept": bool(TEST.search(by)),
            "documented": bool(LINK.search(by)),
            "does not apply": len(reason.split()) >= 3 and not TEST.search(by),
            "the operator": len(reason.split()) >= 4 and bool(LINK.search(by)),
            "not yet": len(reason.split()) >= 8,
        }
        assert needed[status], (number, status, by)
