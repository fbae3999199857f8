"""The code and sql/queries know the same names: none is missing, none is left over."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import responder
from responder.domain.statements import parse_statements
from responder.store.queries import QUERIES

PACKAGE = Path(responder.__file__).parent
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
#: Methods of a transaction, and of the slots, that take a statement's name first.
METHODS = {"all", "maybe", "one", "run", "many", "at_once", "_ask"}


def strings(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name given to QUERIES[...], tx.one(...) and the like, or step(tx, ...)."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id="QUERIES"), slice=name):
                yield from strings(name)
            case ast.Call(func=ast.Attribute(attr=method, value=owner), args=[name, *_]):
                if method in METHODS and ast.unparse(owner) in (
                    "tx",
                    "self",
                    "batch.tx",
                    "services.store",
                ):
                    yield from strings(name)
            case ast.Call(func=ast.Name(id="step"), args=[_, name, *_]):
                yield from strings(name)


USED = {
    (name, place)
    for place, tree in TREES.items()
    if not place.startswith(("cli/demo/stand_in", "runbook"))  # no database, methods of such names
    for name in names_in(tree)
}


@pytest.mark.parametrize(("name", "place"), sorted(USED))
def test_a_name_in_the_code_is_a_statement(name: str, place: str) -> None:
    assert name in QUERIES, f"responder/{place} asks for it"


def test_every_statement_is_used() -> None:
    """A name may reach its call through a variable, so any string of the package counts."""
    mentioned = {text for tree in TREES.values() for text in strings(tree)}
    assert sorted(QUERIES.keys() - mentioned) == []


def test_no_call_is_overlooked() -> None:
    """Whoever takes a transaction under another name would hide from the tests above."""
    found = {name for name, _ in USED}
    assert len(found) > 0.8 * len(QUERIES)


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_statement_is_one_statement_with_a_sentence(name: str) -> None:
    query = QUERIES[name]
    assert ";" not in query.sql
    assert query.sentence.endswith((".", "?"))


def test_a_name_is_used_once_over_all_files() -> None:
    folder = PACKAGE.parent / "sql" / "queries"
    count = sum(
        len(parse_statements(path.read_text(encoding="utf-8"), path.name))
        for path in folder.glob("*.sql")
    )
    assert count == len(QUERIES)
