"""The page and the plots that are written from a run."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.lines import Line
from bench.pictures import WIDTH, bars, curves, latencies
from bench.report import Run, write

GOOD = Line("deliveries over the floor", 0.95, "x", 0.75, 0.9)
ENOUGH = Line("deliveries over alerta", 8.5, "x", 8.0, 10.0)
SHORT = Line("p99 over the floor", 1.8, "x", 1.5, 1.2, at_least=False, detail="fsync holds it")


def page_of(docs: Path, **subjects: list[Line]) -> str:
    (docs / "pictures").mkdir()
    write(Run("2026-01-02", {"kernel": "Linux 6"}, {"Python": "3.11"}, subjects), docs)
    return (docs / "benchmarks.md").read_text()


def test_each_line_is_marked_by_what_it_must_be(tmp_path: Path) -> None:
    page = page_of(tmp_path, accept=[GOOD, ENOUGH, SHORT])
    assert "| deliveries over the floor | ≥ 0.75 x | ≥ 0.9 x | 0.95 x | as wanted |" in page
    assert "| deliveries over alerta | ≥ 8 x | ≥ 10 x | 8.50 x | holds |" in page
    assert "| p99 over the floor | ≤ 1.5 x | ≤ 1.2 x | 1.80 x | **falls short** |" in page


def test_what_falls_short_says_what_holds_it(tmp_path: Path) -> None:
    page = page_of(tmp_path, accept=[GOOD, SHORT])
    assert "- **p99 over the floor**: 1.80 x. fsync holds it" in page
    assert "**deliveries over the floor**" not in page


def test_no_text_breaks_a_table(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, peers=[Line("taken", 1.0, "a/s", detail="no | such\nhost", system="x")]
    )
    assert "| taken: x | 1.00 a/s | no / such host |" in page


def test_what_was_not_run_is_said(tmp_path: Path) -> None:
    page = page_of(tmp_path, accept=[GOOD])
    assert "## Peers" in page and "*Not measured in this run.*" in page
    assert "{{" not in page


def test_a_plot_is_shown_when_there_is_something_to_draw(tmp_path: Path) -> None:
    taken = [Line("alerts accepted", n, "alerts/s", system=s) for s, n in (("a", 1), ("b", 2))]
    page = page_of(tmp_path, peers=taken)
    assert "(pictures/accepted.svg)" in page and (tmp_path / "pictures/accepted.svg").exists()
    assert "(pictures/backlog.svg)" not in page
    assert not (tmp_path / "pictures/backlog.svg").exists()


def test_how_long_they_wait_is_drawn_for_all_that_were_measured_together(tmp_path: Path) -> None:
    said = "p50 2.0 ms, p99 9.5 ms, max 20 ms"
    waited = [Line("taken", 1.0, "1/s", detail=said, system=each) for each in ("floor", "alerta")]
    page = page_of(tmp_path, peers=[*waited, Line("alone", 1.0, "1/s", detail=said, system="x")])
    assert "(pictures/latency.svg)" in page
    drawn = (tmp_path / "pictures" / "latency.svg").read_text()
    assert drawn.count("2.00 to 9.50 ms") == 2 and ">alerta<" in drawn


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    run = Run("2026-01-02", {"kernel": "Linux 6"}, {"Python": "3.11"}, {"accept": [GOOD, SHORT]})
    run.save(tmp_path / "build" / "run.json")
    assert Run.load(tmp_path / "build" / "run.json") == run


@pytest.mark.parametrize(
    "picture",
    [
        bars("Taken <in>", {"1 & more": {"responder": 10.0, "floor": 20.0, "none": 0.0}}, "a/s"),
        latencies("Waited", {"responder, 1": (1.0, 9.0), "floor, 1": (1.0, 8.0)}),
        curves("Waits", {"alerts": [(0, 0), (1, 900), (7, 0)], "told": [(0, 0), (7, 50)]}, "n"),
        curves("Nothing", {"alerts": [(0, 0)]}, "n"),
    ],
)
def test_a_plot_is_well_formed_and_stays_within_its_bounds(picture: str) -> None:
    root = ElementTree.fromstring(picture)
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= WIDTH
        right = float(element.get("x", 0)) + float(element.get("width", 0))
        assert element.tag.endswith("svg") or right <= WIDTH


def test_the_longest_bar_is_the_greatest_number() -> None:
    root = ElementTree.fromstring(bars("t", {"g": {"a": 5.0, "b": 20.0}}, "n"))
    widths = [float(each.get("width", 0)) for each in root.iter() if each.get("class") == "peer"]
    assert widths[1] == pytest.approx(4 * widths[0], rel=0.01)
