"""What does a reader see at a glance? Bars as inline SVG, in a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from perf.stats import Spread, spread

_LABEL, _PLOT, _FIGURES, _ROW, _THICK = 190, 460, 190, 30, 16
_COLOURS = ("#2166ac", "#92a8b8")
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b2733; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin: 1.6rem 0 .3rem }
pre { overflow-x: auto; background: #f3f5f7; padding: .8rem; font-size: 12px }
svg { display: block; max-width: 100%; height: auto } svg text { font-size: 12px; fill: #1b2733 }
.problem { color: #a50026; font-weight: 600 }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One server's figures; ``spread`` is None where none counts."""

    label: str
    figures: tuple[float, ...]
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars on one scale that begins at 0; ``mark`` is a line to compare them with."""

    title: str
    bars: tuple[Bar, ...]
    mark: float | None = None


def bar(label: str, figures: Sequence[float]) -> Bar:
    """A bar to the median, with a dot for each round."""
    return Bar(label, tuple(figures), spread(figures))


def page(title: str, text: str, charts: Sequence[Chart], troubles: Sequence[str] = ()) -> str:
    """A whole HTML page: no script, and nothing fetched from anywhere."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="problem">{escape(trouble)}</p>' for trouble in troubles),
        *(f"<h2>{escape(chart.title)}</h2>{draw(chart)}" for chart in charts),
        "<p>A bar ends at the median; the line spans least and greatest; a dot is a round.</p>",
        f"<pre>{escape(text)}</pre></body></html>",
    ]
    return "\n".join(parts) + "\n"


def draw(chart: Chart) -> str:
    """One chart as an ``<svg>``."""
    known = [one.spread.high for one in chart.bars if one.spread]
    most = max([*known, chart.mark or 0.0]) or 1.0
    width, height = _LABEL + _PLOT + _FIGURES, _ROW * len(chart.bars) + 4
    rows = [_row(one, number, most) for number, one in enumerate(chart.bars)]
    if chart.mark is not None:
        x = _x(chart.mark, most)
        rows.append(f'<path d="M{x} 0V{height}" stroke="#1b2733" stroke-dasharray="4 3"/>')
    return (
        f'<svg role="img" aria-label="{escape(chart.title)}" '
        f'viewBox="0 0 {width} {height}" width="{width}">{"".join(rows)}</svg>'
    )


def _row(one: Bar, number: int, most: float) -> str:
    top = number * _ROW + (_ROW - _THICK) // 2
    middle = top + _THICK // 2
    at = f'x="{_LABEL - 8}" y="{middle + 4}" text-anchor="end"'
    parts = [f"<text {at}>{escape(one.label)}</text>"]
    if one.spread is None:
        parts.append(f'<text x="{_LABEL + 4}" y="{middle + 4}">no figure</text>')
        return "".join(parts)
    colour = _COLOURS[min(number, 1)]
    end, low, high = (_x(v, most) for v in (one.spread.median, one.spread.low, one.spread.high))
    parts.append(
        f'<rect x="{_LABEL}" y="{top}" width="{end - _LABEL:.1f}" height="{_THICK}" '
        f'fill="{colour}"/><path d="M{low} {middle}H{high}" stroke="#1b2733"/>'
    )
    parts.extend(
        f'<circle cx="{_x(figure, most)}" cy="{middle}" r="2.5" fill="#1b2733"/>'
        for figure in one.figures
    )
    said = f"{_brief(one.spread.median)} ({_brief(one.spread.low)}..{_brief(one.spread.high)})"
    parts.append(f'<text x="{_LABEL + _PLOT + 12}" y="{middle + 4}">{said}</text>')
    return "".join(parts)


def _x(figure: float, most: float) -> float:
    return round(_LABEL + _PLOT * figure / most, 1)


def _brief(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"
