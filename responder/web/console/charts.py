"""Bars by day: their geometry in whole numbers, their words for people and for who cannot see them.

A chart is drawn on a ground of 100 by 10 a day, which the page stretches to its width.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from responder.web.console.words import duration

#: The height of the ground.
HEIGHT = 100


@dataclass(frozen=True)
class Bar:
    """One piece of a day's column; kind is the class that colours it."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """A day; title: all of it in words; told: of each kind, empty where nothing was counted."""

    day: date
    title: str
    told: Sequence[str]
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Chart:
    """kinds: their names, the lowest bar first; top: what the full height stands for."""

    name: str
    title: str
    kinds: Mapping[str, str]
    columns: Sequence[Column]
    top: str

    @property
    def empty(self) -> bool:
        return not any(column.bars for column in self.columns)


def counts(
    name: str,
    title: str,
    days: Sequence[date],
    counted: Sequence[Mapping[str, int]],
    kinds: Mapping[str, str],
) -> Chart:
    """How many of each kind, stacked."""
    told = [[str(each.get(kind, 0)) if each else "" for kind in kinds] for each in counted]
    heights = [{kind: float(each.get(kind, 0)) for kind in kinds} for each in counted]
    return _chart(name, title, kinds, days, heights, told, lambda top: f"{top:.0f}")


def quantiles(
    name: str, title: str, days: Sequence[date], measured: Sequence[Mapping[str, float | None]]
) -> Chart:
    """The median of each day, and up to where all but one in twenty were."""
    told, heights = [], []
    for each in measured:
        p50, p95 = each.get("p50"), each.get("p95")
        known = p50 is not None and p95 is not None
        told.append([lasting(p50 or 0), lasting(p95 or 0)] if known else ["", ""])
        heights.append({"p50": p50 or 0.0, "p95": (p95 or 0.0) - (p50 or 0.0)})
    kinds = {"p50": "half of them within", "p95": "19 of 20 within"}
    return _chart(name, title, kinds, days, heights, told, lasting)


def lasting(seconds: float) -> str:
    """A duration, short ones to the tenth of a second."""
    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"


def _chart(
    name: str,
    title: str,
    kinds: Mapping[str, str],
    days: Sequence[date],
    heights: Sequence[Mapping[str, float]],
    told: Sequence[Sequence[str]],
    words: Callable[[float], str],
) -> Chart:
    top = max((sum(each.values()) for each in heights), default=0.0)
    columns = [
        Column(day, _title(day, kinds.values(), values), values, _bars(each, top))
        for day, values, each in zip(days, told, heights, strict=True)
    ]
    return Chart(name, title, kinds, columns, words(top))


def _title(day: date, kinds: Iterable[str], told: Sequence[str]) -> str:
    said = [f"{kind} {value}" for kind, value in zip(kinds, told, strict=True) if value]
    return f"{day:%a %d %b}: {', '.join(said) or 'nothing was counted'}"


def _bars(heights: Mapping[str, float], top: float) -> Sequence[Bar]:
    bars, y = [], float(HEIGHT)
    for kind, value in heights.items():
        if value > 0:
            height = value * HEIGHT / top
            y -= height
            bars.append(Bar(kind, round(y, 2), round(height, 2)))
    return bars
