"""The page of charts: true to scale, and safe with any name."""

from __future__ import annotations

import re

from perf.charts import Chart, bar, draw, page


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


def test_what_a_page_shows_is_text() -> None:
    """Also what a broken server said."""
    whole = page("<b>", "a < b", [Chart("<i>", (bar("<u>", [1.0]),))], ["<script>"])
    assert not re.search(r"<(b|i|u|script)>", whole)
    assert whole.startswith("<!doctype html>")
