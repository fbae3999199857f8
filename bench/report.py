"""docs/benchmarks.md and its plots, from a run: `python -m bench.report build/bench.json [...]`.

The words stand in bench/benchmarks.md; each {{name}} there becomes what was measured. Of several
files of one machine, each has the last word on the subjects that it holds.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from bench.lines import Line, number
from bench.pictures import bars, curves, latencies

_ROOT = Path(__file__).parent.parent
_WORDS = Path(__file__).with_name("benchmarks.md")
_DOCS = _ROOT / "docs"
#: As the load generator tells it.
_WAITED = re.compile(r"p50 ([\d.]+) ms, p99 ([\d.]+) ms")
_NOT = "*Not measured in this run.*"


@dataclass(frozen=True)
class Run:
    """day: when; lines by subject."""

    day: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    subjects: Mapping[str, Sequence[Line]]

    @property
    def lines(self) -> list[Line]:
        return [line for lines in self.subjects.values() for line in lines]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {name: [line.as_json() for line in lines] for name, lines in self.subjects.items()}
        head = {"day": self.day, "machine": self.machine, "versions": self.versions}
        path.write_text(json.dumps({**head, "subjects": told}, indent=1))

    def after(self, earlier: "Run") -> "Run":
        """Both, as one run."""
        return replace(self, subjects={**earlier.subjects, **self.subjects})

    @classmethod
    def load(cls, path: Path) -> "Run":
        told = json.loads(path.read_text())
        subjects = {
            name: [Line.from_json(line) for line in lines]
            for name, lines in told.pop("subjects").items()
        }
        return cls(**told, subjects=subjects)


def write(run: Run, docs: Path = _DOCS) -> None:
    """The page, and each plot for which there is something to draw."""
    parts = {
        "scope": f" on {run.day}",
        "promises": _promises(run.lines),
        "shortfalls": _shortfalls(run.lines),
        "machine": _machine(run),
    }

    def part(found: re.Match[str]) -> str:
        name = found[1]
        return parts[name] if name in parts else _table(run.subjects.get(name, ()))

    drawn = {name: text for name, text in _pictures(run).items() if text}
    page = re.sub(r"\{\{(\w+)\}\}", part, _WORDS.read_text(encoding="utf-8"))
    page = re.sub(
        r"!\[[^]]*\]\(pictures/(\w+)\.svg\)\n\n",
        lambda found: found[0] if found[1] in drawn else "",
        page,
    )
    for name, text in drawn.items():
        (docs / "pictures" / f"{name}.svg").write_text(text, encoding="utf-8")
    (docs / "benchmarks.md").write_text(page, encoding="utf-8")


def _promises(lines: Iterable[Line]) -> str:
    rows = [
        (_named(line), _bound(line, line.must), _bound(line, line.want), _seen(line), _mark(line))
        for line in lines
        if line.must is not None or line.want is not None
    ]
    return _markdown(("what", "must", "want", "seen", ""), rows) if rows else _NOT


def _shortfalls(lines: Iterable[Line]) -> str:
    short = [line for line in lines if not line.holds]
    if not short:
        return "Everything that was measured is as it must be."
    said = [f"- **{_named(line)}**: {_seen(line)}. {line.detail}".rstrip() for line in short]
    return "\n".join(["What falls short, and what holds it:", "", *said])


def _table(lines: Sequence[Line]) -> str:
    if not lines:
        return _NOT
    rows = [(_named(line), _seen(line), line.detail, _cores(line)) for line in lines]
    used = any(line.cpu for line in lines)
    heads = ("what", "seen", "in detail", "cores used")
    return _markdown(heads if used else heads[:3], rows if used else [row[:3] for row in rows])


def _machine(run: Run) -> str:
    told = {**run.machine, "versions": ", ".join(" ".join(each) for each in run.versions.items())}
    return _markdown(("", f"on {run.day}"), list(told.items()))


def _pictures(run: Run) -> dict[str, str]:
    taken = _by_system(run.lines, "alerts/s")
    waited = _latencies(run.lines)
    series = {name: points for line in run.lines for name, points in line.series.items()}
    return {
        "accepted": bars("Alerts accepted in a second", taken, "alerts/s") if taken else "",
        "latency": latencies(
            "How long a sender waits for its answer, while 16 ask as fast as they can", waited
        )
        if waited
        else "",
        "backlog": curves("What waits, while a storm is worked off", series, "alerts")
        if series
        else "",
    }


def _by_system(lines: Iterable[Line], unit: str) -> dict[str, dict[str, float]]:
    """Name of the line to system to value, where there is more than one system."""
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        if line.system and line.unit == unit and line.value:
            found.setdefault(line.name, {})[line.system] = line.value
    return {name: values for name, values in found.items() if len(values) > 1}


def _latencies(lines: Iterable[Line]) -> dict[str, tuple[float, float]]:
    """p50 and p99 of each system, of the name under which the most of them were measured."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for line in lines:
        told = _WAITED.search(line.detail)
        if line.system and told:
            found.setdefault(line.name, {})[line.system] = float(told[1]), float(told[2])
    return max(found.values(), key=len, default={})


def _named(line: Line) -> str:
    return f"{line.name}: {line.system}" if line.system else line.name


def _seen(line: Line) -> str:
    return f"{number(line.value)} {line.unit}"


def _bound(line: Line, bound: float | None) -> str:
    sign = "≥" if line.at_least else "≤"
    return "" if bound is None else f"{sign} {bound:g} {line.unit}"


def _mark(line: Line) -> str:
    return "as wanted" if line.wanted else "holds" if line.holds else "**falls short**"


def _cores(line: Line) -> str:
    return ", ".join(f"{name} {cores:.2f}" for name, cores in line.cpu.items())


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str]) -> str:
        plain = (" ".join(cell.replace("|", "/").split()) for cell in cells)
        return f"| {' | '.join(plain)} |"

    return "\n".join([row(heads), "|" + "---|" * len(heads), *map(row, rows)])


if __name__ == "__main__":
    write(reduce(lambda earlier, run: run.after(earlier), map(Run.load, map(Path, sys.argv[1:]))))
