"""The page of charts: true to scale, and safe with any name."""

from __future__ import annotations

import re

import pytest

from perf.charts import Chart, Curve, Curves, bar, draw, page, ticks


def test_bars_are_to_one_scale_from_zero() -> None:
    """Half the figure is half the bar; a dot stands for each round."""
    drawn = draw(Chart("cost", (bar("edge", [10.0, 20.0, 30.0]), bar("peer", [40.0]))))
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([0-9.]+)"', drawn)]
    assert widths[0] * 2 == widths[1]
    assert 4 == drawn.count("<circle")
    assert "20 (10..30)" in drawn


def test_a_server_without_a_figure_has_no_bar() -> None:
    """All its rounds were void."""
    drawn = draw(Chart("cost", (bar("edge", []),), mark=1.0))
    assert "no figure" in drawn
    assert "<rect" not in drawn


def test_a_curve_goes_through_every_round_that_counts() -> None:
    """A void round has no point; each curve has its colour, its name and its median."""
    curves = (Curve("nginx", (1.0, None, 1.2)), Curve("caddy", (0.5, 0.6, 0.7)))
    drawn = draw(Curves("ratio, round by round", curves, mark=1.0))
    assert 2 == drawn.count("<polyline")
    assert 5 == drawn.count("<circle")
    assert "nginx: 1.1<" in drawn
    assert "caddy: 0.6<" in drawn
    assert not Curves("none", (Curve("nginx", (None,)),)).drawable


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 640.0, [0.0, 200.0, 400.0, 600.0, 800.0]),
        (0.93, 1.13, [0.9, 0.95, 1.0, 1.05, 1.1, 1.15]),
        (1.0, 1.0, [1.0]),
    ],
)
def test_axes_have_round_numbers(low: float, high: float, expected: list[float]) -> None:
    """That cover what is shown."""
    assert expected == ticks(low, high)


def test_what_a_page_shows_is_text() -> None:
    """Also what a broken server said."""
    whole = page("<b>", "a < b", [Chart("<i>", (bar("<u>", [1.0]),))], ["<script>"])
    assert not re.search(r"<(b|i|u|script)>", whole)
    assert whole.startswith("<!doctype html>")
