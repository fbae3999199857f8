"""What a subject reports: one number beside what it must and what we want it to be."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Chosen:
    """How much is measured.

    seconds: of each round under load. full: with the tables at size and the peers, however long.
    """

    seconds: float = 5.0
    full: bool = False


@dataclass(frozen=True)
class Line:
    """One number. A line without `must` and `want` is there to be read beside others.

    at_least: more is better; else less is. cpu: cores used by each process meanwhile, of 1.0 each.
    system: whose number it is, where several are measured side by side under the same name.
    series: what is drawn over seconds, by name.
    """

    name: str
    value: float
    unit: str
    must: float | None = None
    want: float | None = None
    at_least: bool = True
    detail: str = ""
    cpu: Mapping[str, float] = field(default_factory=dict)
    system: str = ""
    series: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """What must be so is so."""
        return self._reaches(self.must)

    @property
    def wanted(self) -> bool:
        """It is as good as we want it."""
        return self.holds and self._reaches(self.want)

    def _reaches(self, bound: float | None) -> bool:
        if bound is None:
            return True
        return self.value >= bound if self.at_least else self.value <= bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        bounds = [
            f"{word} {sign} {bound:g}"
            for word, bound in (("must", self.must), ("want", self.want))
            if bound is not None
        ]
        mark = "" if not bounds else "as wanted" if self.wanted else "holds" if self.holds else "NO"
        used = ", ".join(f"{name} {cores:.2f}" for name, cores in self.cpu.items())
        parts = [", ".join(bounds), mark, self.detail, used and f"cores: {used}"]
        name = f"{self.name}: {self.system}" if self.system else self.name
        return "  ".join(
            [f"{name:<58} {number(self.value):>9} {self.unit:<10}", *filter(None, parts)]
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Line":
        return cls(**told)


def number(value: float) -> str:
    """As many digits as say something."""
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
