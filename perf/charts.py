"""What does a reader see at a glance? Charts as inline SVG, in a page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from perf.stats import Spread, spread

_LABEL, _PLOT, _FIGURES, _ROW, _THICK = 200, 460, 190, 30, 16
_AXIS = 34  # height under the bars
_CURVE_HEIGHT, _CURVE_TOP = 190, 12
_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1b2733; --faint: #d7dde3; --box: #f3f5f7;
  --bad: #a50026;
  --s0: #2166ac; --s1: #1b7f4b; --s2: #c2570c; --s3: #7b4bb3; --s4: #0e8290; --s5: #a8326b }
@media (prefers-color-scheme: dark) { :root { --page: #14191f; --ink: #dde5ec; --faint: #39444f;
  --box: #1d252d; --bad: #ff8f85;
  --s0: #6aaef0; --s1: #57c98b; --s2: #f2a05e; --s3: #b794ec; --s4: #5cc6d2; --s5: #ea85b5 } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--page) }
h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin: 1.8rem 0 .3rem }
pre { overflow-x: auto; background: var(--box); padding: .8rem; font-size: 12px }
svg { display: block; max-width: 100%; height: auto } svg text { font-size: 12px; fill: var(--ink) }
.grid { stroke: var(--faint) } .mark { stroke: var(--ink); stroke-dasharray: 4 3 }
.span { stroke: var(--ink) } .dot { fill: var(--ink) }
.problem { color: var(--bad); font-weight: 600 }
"""
_SERIES = 6  # colours that the style has


@dataclass(frozen=True, slots=True)
class Bar:
    """One server's figures; ``spread`` is None where none counts."""

    label: str
    figures: tuple[float, ...]
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars on one scale that begins at 0, in ``unit``; ``mark`` is a line to compare them with."""

    title: str
    bars: tuple[Bar, ...]
    unit: str = ""
    mark: float | None = None

    @property
    def drawable(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.bars)


@dataclass(frozen=True, slots=True)
class Curve:
    """A value for each round, None where a round has none."""

    label: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """How something went, round by round; ``mark`` is a line to compare it with."""

    title: str
    curves: tuple[Curve, ...]
    unit: str = "ratio"
    mark: float | None = None

    @property
    def drawable(self) -> bool:
        """Whether there is anything to show."""
        return any(value is not None for curve in self.curves for value in curve.values)


def bar(label: str, figures: Sequence[float]) -> Bar:
    """A bar to the median, with a dot for each round."""
    return Bar(label, tuple(figures), spread(figures))


def page(
    title: str, text: str, charts: Sequence[Chart | Curves], troubles: Sequence[str] = ()
) -> str:
    """A whole HTML page: no script, and nothing fetched from anywhere."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="problem">{escape(trouble)}</p>' for trouble in troubles),
        f"<pre>{escape(text)}</pre>",
        "<p>A bar ends at the median; its line spans least and greatest; a dot is a round.</p>",
        *(f"<h2>{escape(chart.title)}</h2>{draw(chart)}" for chart in charts),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def draw(chart: Chart | Curves) -> str:
    """One chart as an ``<svg>``."""
    width = _LABEL + _PLOT + _FIGURES
    if isinstance(chart, Curves):
        height = _CURVE_TOP + _CURVE_HEIGHT + _AXIS
        inside = _curves(chart)
    else:
        height = _ROW * len(chart.bars) + _AXIS
        inside = _bars(chart)
    return (
        f'<svg role="img" aria-label="{escape(chart.title)}" '
        f'viewBox="0 0 {width} {height}" width="{width}">{"".join(inside)}</svg>'
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that cover a range, in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def _bars(chart: Chart) -> list[str]:
    known = [one.spread.high for one in chart.bars if one.spread]
    marks = ticks(0.0, max([*known, chart.mark or 0.0]) or 1.0)
    most, bottom = marks[-1], _ROW * len(chart.bars)
    parts = []
    for mark in marks:
        x = _x(mark, most)
        parts.append(f'<path class="grid" d="M{x} 0V{bottom + 4}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{_brief(mark)}</text>')
    parts.append(f'<text x="{_LABEL + _PLOT + 30}" y="{bottom + 18}">{escape(chart.unit)}</text>')
    # Where there is a line to compare with, the subject is that line: peers keep their colours.
    first = 0 if chart.mark is None else 1
    for number, one in enumerate(chart.bars):
        parts.append(_row(one, number, most, f"var(--s{(number + first) % _SERIES})"))
    if chart.mark is not None:
        parts.append(f'<path class="mark" d="M{_x(chart.mark, most)} 0V{bottom + 4}"/>')
    return parts


def _row(one: Bar, number: int, most: float, colour: str) -> str:
    top = number * _ROW + (_ROW - _THICK) // 2
    middle = top + _THICK // 2
    at = f'x="{_LABEL - 8}" y="{middle + 4}" text-anchor="end"'
    parts = [f"<text {at}>{escape(one.label)}</text>"]
    if one.spread is None:
        parts.append(f'<text x="{_LABEL + 4}" y="{middle + 4}">no figure</text>')
        return "".join(parts)
    end, low, high = (_x(v, most) for v in (one.spread.median, one.spread.low, one.spread.high))
    parts.append(
        f'<rect x="{_LABEL}" y="{top}" width="{end - _LABEL:.1f}" height="{_THICK}" '
        f'fill="{colour}" fill-opacity="0.6"/>'
        f'<path class="span" d="M{low} {middle}H{high}"/>'
    )
    parts.extend(
        f'<circle class="dot" cx="{_x(figure, most)}" cy="{middle}" r="2.5"/>'
        for figure in one.figures
    )
    said = _brief(one.spread.median)
    if one.spread.count > 1:
        said += f" ({_brief(one.spread.low)}..{_brief(one.spread.high)})"
    parts.append(f'<text x="{_LABEL + _PLOT + 12}" y="{middle + 4}">{said}</text>')
    return "".join(parts)


def _curves(chart: Curves) -> list[str]:
    known = [value for one in chart.curves for value in one.values if value is not None]
    marks = ticks(*_range([*known, *([] if chart.mark is None else [chart.mark])]))
    low, high = marks[0], marks[-1]
    rounds = max((len(one.values) for one in chart.curves), default=1)
    bottom = _CURVE_TOP + _CURVE_HEIGHT

    def y(value: float) -> float:
        return round(bottom - _CURVE_HEIGHT * (value - low) / (high - low), 1)

    def x(number: int) -> float:
        return round(_LABEL + _PLOT * (number + 0.5) / rounds, 1)

    parts = []
    for mark in marks:
        parts.append(f'<path class="grid" d="M{_LABEL} {y(mark)}H{_LABEL + _PLOT}"/>')
        parts.append(
            f'<text x="{_LABEL - 8}" y="{y(mark) + 4}" text-anchor="end">{_brief(mark)}</text>'
        )
    if chart.mark is not None:
        parts.append(f'<path class="mark" d="M{_LABEL} {y(chart.mark)}H{_LABEL + _PLOT}"/>')
    for number in range(rounds):
        at = f'x="{x(number)}" y="{bottom + 18}" text-anchor="middle"'
        parts.append(f"<text {at}>{number + 1}</text>")
    parts.append(f'<text x="{_LABEL + _PLOT + 12}" y="{bottom + 18}">round</text>')
    at = f'x="{_LABEL - 60}" y="{_CURVE_TOP + _CURVE_HEIGHT / 2}" text-anchor="end"'
    parts.append(f"<text {at}>{escape(chart.unit)}</text>")
    for number, one in enumerate(chart.curves):
        points = [(x(n), y(value)) for n, value in enumerate(one.values) if value is not None]
        colour = f"var(--s{1 + number % (_SERIES - 1)})"
        line = " ".join(f"{a},{b}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{a}" cy="{b}" r="3.5" fill="{colour}"/>' for a, b in points)
        top = _CURVE_TOP + 16 * number
        median = spread([value for value in one.values if value is not None])
        said = f"{one.label}: {_brief(median.median)}" if median else f"{one.label}: no figure"
        parts.append(
            f'<rect x="{_LABEL + _PLOT + 12}" y="{top}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{_LABEL + _PLOT + 28}" y="{top + 10}">{escape(said)}</text>'
        )
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = max((high - low) * 0.08, 0.01 * abs(high), 1e-9)
    return low - room, high + room


def _x(figure: float, most: float) -> float:
    return round(_LABEL + _PLOT * figure / most, 1)


def _brief(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"
