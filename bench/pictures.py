"""Plots as SVG, by hand: bars, latencies, and what changes over time; for light and dark pages."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from bench.lines import number

WIDTH, LEFT, RIGHT = 760, 160, 130
_ROW, _BAR = 26, 16
_STYLE = """
.ground { fill: #ffffff } .rule { stroke: #d0d7de } .text { fill: #1f2328 } .faint { fill: #59636e }
.ours { fill: #0969da; stroke: #0969da } .peer { fill: #8c959f; stroke: #8c959f }
.floor { fill: #b6bec7; stroke: #b6bec7 } .c0 { stroke: #0969da; fill: #0969da }
.c1 { stroke: #bc4c00; fill: #bc4c00 } .c2 { stroke: #1a7f37; fill: #1a7f37 }
.c3 { stroke: #8250df; fill: #8250df }
text { font: 13px system-ui, sans-serif; stroke: none } .title { font-weight: 600; font-size: 15px }
.end { text-anchor: end } .middle { text-anchor: middle }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117 } .rule { stroke: #3d444d } .text { fill: #f0f6fc } .faint { fill: #9198a1 }
.ours { fill: #4493f8; stroke: #4493f8 } .peer { fill: #8b949e; stroke: #8b949e }
.floor { fill: #59616b; stroke: #59616b } .c0 { stroke: #4493f8; fill: #4493f8 }
.c1 { stroke: #f0883e; fill: #f0883e } .c2 { stroke: #3fb950; fill: #3fb950 }
.c3 { stroke: #ab7df8; fill: #ab7df8 }
}
.curve { fill: none; stroke-width: 2 }
"""
_KINDS = {"responder": "ours", "floor": "floor"}


def bars(title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A group of bars for each name, each group with a scale of its own, which begins at 0."""
    parts, y = [_text(16, 28, title, "title text")], 46
    for group, values in groups.items():
        y += 22
        parts.append(_text(16, y, f"{group}, {unit}", "faint"))
        y += 10
        longest = max(values.values(), default=0.0) or 1.0
        for name, value in values.items():
            width = max(1.0, value / longest * (WIDTH - LEFT - RIGHT))
            parts += [
                _text(LEFT - 10, y + 13, name, "end text"),
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"'
                f' class="{_KINDS.get(name, "peer")}"/>',
                _text(LEFT + width + 8, y + 13, number(value), "text"),
            ]
            y += _ROW
    return _svg(title, parts, y + 10)


def latencies(title: str, rows: Mapping[str, tuple[float, float]]) -> str:
    """From p50 to p99 of each, in milliseconds, on one scale."""
    parts, y = [_text(16, 28, title, "title text")], 48
    longest = max((p99 for _, p99 in rows.values()), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / longest
    for name, (p50, p99) in rows.items():
        left, right = LEFT + p50 * scale, LEFT + p99 * scale
        kind = _KINDS.get(name, "peer")
        parts += [
            _text(LEFT - 10, y + 13, name, "end text"),
            f'<line x1="{LEFT}" y1="{y + 9}" x2="{right:.1f}" y2="{y + 9}" class="rule"/>',
            f'<line x1="{left:.1f}" y1="{y + 9}" x2="{right:.1f}" y2="{y + 9}"'
            f' class="{kind}" stroke-width="5"/>',
            f'<circle cx="{left:.1f}" cy="{y + 9}" r="5" class="{kind}"/>',
            _text(right + 10, y + 13, f"{number(p50)} to {number(p99)} ms", "text"),
        ]
        y += _ROW + 4
    parts.append(
        _text(LEFT, y + 16, "dot: half of them are faster; end of the line: 99 of 100 are", "faint")
    )
    return _svg(title, parts, y + 30)


def curves(title: str, series: Mapping[str, Sequence[tuple[float, float]]], unit: str) -> str:
    """Each series over seconds, all on one scale."""
    left, top, width, height = 80, 66, WIDTH - 110, 240
    points = [point for each in series.values() for point in each]
    last = max((x for x, _ in points), default=0.0) or 1.0
    most = max((y for _, y in points), default=0.0) or 1.0
    bottom = top + height
    parts = [_text(16, 28, title, "title text"), _text(16, 48, unit, "faint")]
    for value in _ticks(most):
        y = bottom - value / most * height
        parts += [
            f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" class="rule"/>',
            _text(left - 8, y + 4, f"{value:,.0f}", "end faint"),
        ]
    for value in _ticks(last):
        parts.append(
            _text(left + value / last * width, bottom + 20, f"{value:g} s", "middle faint")
        )
    for place, (name, each) in enumerate(series.items()):
        drawn = [(left + x / last * width, bottom - y / most * height) for x, y in each]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        at = left + place * 210
        parts += [
            f'<polyline points="{path}" class="c{place} curve"/>',
            f'<rect x="{at}" y="{bottom + 36}" width="12" height="12" rx="2" class="c{place}"/>',
            _text(at + 18, bottom + 47, name, "text"),
        ]
    return _svg(title, parts, bottom + 62)


def _ticks(most: float) -> Iterator[float]:
    """Round numbers from 0 on, three to seven of them."""
    step = next(
        unit * 10.0**power
        for power in range(-3, 12)
        for unit in (1, 2, 5)
        if most / (unit * 10.0**power) <= 6
    )
    return (place * step for place in range(int(most / step + 1e-9) + 1))


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str], height: float) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        f' width="{WIDTH}" height="{height:.0f}" role="img">'
    )
    ground = f'<rect width="{WIDTH}" height="{height:.0f}" class="ground"/>'
    return "\n".join(
        [
            head,
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            ground,
            *parts,
            "</svg>\n",
        ]
    )
