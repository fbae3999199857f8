"""Whatever the rows are and whatever happened since: an undo restores the untouched ones."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.domain.actor import ActorKind
from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.domain.settings import Target
from responder.domain.severity import Severity
from responder.domain.statements import Statement
from responder.targets import writing
from responder.targets.undo import Undo

if TYPE_CHECKING:
    from tests.shop import Shop

LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.text(LETTERS, max_size=8)
#: What JSON cannot tell apart is left out: the two zeros of a float, NULL and a JSON null.
FLOATS = st.floats(width=64).map(lambda number: number + 0.0)
JSON = st.recursive(
    st.none() | st.booleans() | TEXTS | st.decimals(-(10**30), 10**30, places=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def written(value: Any) -> str:
    """JSON with its decimals as they are."""
    if isinstance(value, dict):
        pairs = (f"{written(name)}: {written(each)}" for name, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return json.dumps(value) if isinstance(value, str) else format(value, "f")


#: A type of PostgreSQL and the texts of its values.
TYPES: dict[str, st.SearchStrategy[str]] = {
    "numeric(40,20)": st.decimals(-(10**19), 10**19, places=20).map(lambda n: format(n, "f")),
    "numeric": st.decimals(-(10**200), 10**200, places=5).map(lambda n: format(n, "f"))
    | st.just("NaN"),
    "float8": FLOATS.map(repr),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "text": TEXTS,
    "boolean": st.booleans().map(str),
    "timestamptz": st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat(" "))
    | st.just("infinity"),
    "timestamp": st.datetimes().map(str),
    "date": st.dates().map(str),
    "interval": st.timedeltas().map(lambda span: f"{span.days} days {span.microseconds} us"),
    "uuid": st.uuids().map(str),
    "bytea": st.binary(max_size=6).map(lambda octets: "\\x" + octets.hex()),
    "jsonb": JSON.filter(lambda value: value is not None).map(written),
    "bigint[]": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3).map(
        lambda numbers: "{" + ",".join(map(str, numbers)) + "}"
    ),
}
#: What may happen to a row after the fix, and whether it is as the fix left it then.
SINCE = {
    "nothing": True,
    "it is written again as it is": True,
    "it is changed and changed back": True,
    "its state changes": False,
    "a value changes": False,
    "it is deleted": False,
}


@dataclass(frozen=True)
class Life:
    """columns: their types; rows: by row before, after and beside the fix, texts or NULL."""

    columns: list[str]
    rows: list[tuple[list[str | None], list[str | None], str]]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    columns = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4))
    values = st.tuples(*(st.none() | TYPES[column] for column in columns)).map(list)
    events = st.sampled_from(sorted(SINCE))
    return Life(columns, draw(st.lists(st.tuples(values, values, events), min_size=1, max_size=5)))


@pytest.fixture
def target(shared_shop: "Shop") -> Iterator[Target]:
    os.environ["UNDO_WRITING"] = shared_shop.url("responder_writing")
    yield Target("shop", "shop", [], Secret(("env:UNUSED",)), Secret(("env:UNDO_WRITING",)))
    del os.environ["UNDO_WRITING"]


def make_table(shop: "Shop", life: Life) -> None:
    """The rows before the fix in `life`, and what the fix makes of them in `fixed`."""
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(life.columns))
    with psycopg.connect(shop.url("postgres")) as connection:
        connection.execute("DROP TABLE IF EXISTS life, fixed")
        for place, (table, state) in enumerate((("life", "bad"), ("fixed", "good"))):
            make = f"CREATE TABLE {table} (id int PRIMARY KEY, state text, n int, {columns})"
            connection.execute(make)  # type: ignore[arg-type]
            for number, row in enumerate(life.rows):
                marks = "".join(f", %s::{name}" for name in life.columns)
                insert = f"INSERT INTO {table} VALUES (%s, %s, 0{marks})"
                connection.execute(insert, [number, state, *row[place]])  # type: ignore[arg-type]
        connection.execute("GRANT ALL ON life, fixed TO responder_writing")


def statement(text: str) -> Statement:
    return Statement("x", text, "For a test.")


def live_on(shop: "Shop", life: Life) -> None:
    """What happens to each row after the fix."""
    done = {
        "nothing": "SELECT %(id)s",
        "it is written again as it is": "UPDATE life SET c0 = c0 WHERE id = %(id)s",
        "its state changes": "UPDATE life SET state = 'sold' WHERE id = %(id)s",
        "a value changes": "UPDATE life SET n = n + 1 WHERE id = %(id)s",
        "it is deleted": "DELETE FROM life WHERE id = %(id)s",
    }
    for number, (_, _, event) in enumerate(life.rows):
        if event == "it is changed and changed back":
            shop.run("UPDATE life SET state = 'sold' WHERE id = %(id)s", {"id": number})
            shop.run("UPDATE life SET state = 'good' WHERE id = %(id)s", {"id": number})
        else:
            shop.run(done[event], {"id": number})


def rows(shop: "Shop") -> dict[int, str]:
    """Each row as PostgreSQL writes it, which is not how images are written."""
    return dict(shop.rows("SELECT array[id::text, life::text] FROM life ORDER BY id"))


@given(life=lives())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_untouched_rows_are_restored_and_the_others_left(
    shared_shop: "Shop", target: Target, life: Life
) -> None:
    make_table(shared_shop, life)
    names = ", ".join(f"c{number}" for number in range(len(life.columns)))
    of = {
        each: ", ".join(f"{each}.c{number}" for number in range(len(life.columns)))
        for each in ("f", "b")
    }
    change = writing.Change(
        key="life",
        apply=statement(
            f"UPDATE life SET (state, {names}) = ROW(f.state, {of['f']}) FROM fixed f"
            " WHERE life.id = f.id AND life.state = 'bad' RETURNING life.*"
        ),
        before=statement("SELECT * FROM life WHERE state = 'bad' FOR UPDATE"),
        verify=statement("SELECT true AS gone"),
        parameters={},
        tables=["life"],
        max_rows=10,
    )
    was = rows(shared_shop)
    fixed = carried_out(target, change)
    undo = Undo(
        key="life",
        statement=statement(
            f"UPDATE life SET (state, {names}) = ROW(b.state, {of['b']})"
            " FROM jsonb_populate_recordset(NULL::life, %(before)s) b"
            " WHERE life.id = b.id AND to_jsonb(life)::text"
            " IN (SELECT value::text FROM jsonb_array_elements(%(after)s)) RETURNING life.*"
        ),
        before=fixed.before,
        after=fixed.after,
        parameters={},
        tables=["life"],
        max_rows=10,
    )
    live_on(shared_shop, life)
    since = rows(shared_shop)
    untouched = [str(n) for n, (_, _, event) in enumerate(life.rows) if SINCE[event]]
    left = [str(n) for n, (_, _, event) in enumerate(life.rows) if not SINCE[event]]
    if not untouched:
        with pytest.raises(writing.AlreadyGone):
            carried_out(target, undo)
        assert rows(shared_shop) == since
        return
    undone = carried_out(target, undo)
    assert list(undone.left) == left
    assert undone.counts == {"life": len(untouched)}
    assert rows(shared_shop) == {**since, **{each: was[each] for each in untouched}}


def carried_out(target: Target, work: writing.Work) -> writing.Made:
    def permit(_: object) -> writing.Permit:
        return writing.Permit(Severity.P2, ActorKind.PERSON)

    with writing.make(target, new_id(), permit, work) as opened:
        opened.commit()
        return opened.made
