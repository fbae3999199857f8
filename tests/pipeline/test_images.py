"""What a fix keeps of the rows that it changed: every digit of them."""

from collections.abc import Callable

import pytest

from responder.domain.numbers import exact
from tests.house import House, alert
from tests.walks import BAD, fixes

COLUMNS = """
ALTER TABLE thing ADD many numeric(40, 20) DEFAULT 12345678901234567890.12345678901234567890,
    ADD padded numeric(10, 4) DEFAULT 1.5, ADD float float8 DEFAULT 0.1::float8 + 0.2::float8,
    ADD tiny float8 DEFAULT 5e-324, ADD big bigint DEFAULT 9007199254740993,
    ADD at timestamptz DEFAULT '2026-03-29 01:30:00.123456+00', ADD day date DEFAULT '4000-01-01',
    ADD doc jsonb DEFAULT '{"deep": [{"n": 1.10, "m": 12345678901234567890.5}, null, "x\\"y"]}'
"""
ROWS = "SELECT to_jsonb(t)::text FROM thing t WHERE id < 10 ORDER BY id"


def image(house: House, column: str) -> list[str]:
    rows = house.sql(f"SELECT value::text FROM fix, jsonb_array_elements({column}) ORDER BY 1")
    return [row["value"] for row in rows]


def test_images_have_every_digit(start: Callable[..., House]) -> None:
    house = start(statements={"mend_before": "SELECT * FROM thing WHERE state = 'bad' FOR UPDATE"})
    house.shop.run(COLUMNS)
    before = house.shop.rows(ROWS)
    house.shop.run(f"ALTER DATABASE {house.shop.name} SET extra_float_digits = 0")
    house.post(alert("Thing"))
    house.settle()
    house.shop.run(f"ALTER DATABASE {house.shop.name} RESET extra_float_digits")
    after = house.shop.rows(ROWS)
    assert house.shop.rows(BAD) == []
    assert (image(house, "before_rows"), image(house, "after_rows")) == (sorted(before), after)
    assert "12345678901234567890.12345678901234567890" in before[0]
    assert "1.5000" in before[0]
    (fix,) = fixes(house)
    told = house.document()["fixes"][0]["before"][0]
    assert told["many"] == "12345678901234567890.12345678901234567890"
    assert (told["padded"], told["float"], told["tiny"]) == (1.5, 0.30000000000000004, 5e-324)
    assert told["big"] == 9007199254740993
    assert told["doc"]["deep"][0] == {"n": 1.1, "m": "12345678901234567890.5"}
    assert fix["before_rows"][0] == told


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("1.50", 1.5),
        ("1e2", 100.0),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1e400", "1e400"),
        ("9007199254740993", 9007199254740993),
        ("1" * 301, "1" * 301),
        ("true", True),
    ],
)
def test_what_no_float_holds_stays_text(text: str, value: object) -> None:
    assert exact(text) == value
    assert type(exact(text)) is type(value)
