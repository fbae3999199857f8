"""A line says whether what must be so is so."""

from dataclasses import replace

import pytest

from bench.lines import Line


@pytest.mark.parametrize(
    ("value", "at_least", "holds", "wanted"),
    [
        (10.0, True, True, True),
        (9.0, True, True, False),
        (7.9, True, False, False),
        (8.0, True, True, False),
        (7.9, False, True, True),
        (8.0, False, True, True),
        (8.1, False, False, False),
    ],
)
def test_it_holds_from_its_bound_on(
    value: float, at_least: bool, holds: bool, wanted: bool
) -> None:
    line = Line("rate", value, "x", must=8.0, want=10.0, at_least=at_least)
    assert (line.holds, line.wanted) == (holds, wanted)


def test_a_line_without_bounds_is_there_to_be_read() -> None:
    line = Line("rate", 0.0, "x")
    assert line.holds and line.wanted


def test_a_line_survives_the_file_of_the_run() -> None:
    line = Line("rate", 1.5, "x", 1.0, cpu={"web 1": 0.5}, series={"waiting": [(0.0, 1.0)]})
    assert Line.from_json(line.as_json()) == line
    assert Line.from_json(replace(line, value=2.0).as_json()) != line
