"""Losses as text and in a notebook."""

from pathlib import Path

import numpy as np
import pytest

from simulacra.render.runtime.errors import RunError
from simulacra.tools.report.charts import Curve
from simulacra.tools.report.curves import read_curves, sparkline, text_chart


def test_a_falling_loss_falls_from_left_to_right() -> None:
    assert sparkline(np.linspace(7, 0, 8)) == "█▇▆▅▄▃▂▁"
    assert sparkline(np.array([1.0, np.nan, 1.0])) == "▁▁" and sparkline(np.array([np.nan])) == ""
    # 8000 values in 8 stretches are the same as their means.
    assert sparkline(np.repeat(np.linspace(7, 0, 8), 1000), 8) == "█▇▆▅▄▃▂▁"


def test_the_chart_stands_on_zero_and_says_both_ends() -> None:
    chart = text_chart(Curve("total", np.arange(4.0), np.array([4.0, 2.0, 1.0, 0.5])), height=4).splitlines()
    assert [line.partition("│")[2] for line in chart[:4]] == ["█   ", "█   ", "██  ", "███▄"]
    assert chart[0].startswith("        4") and chart[3].startswith("        0")
    assert chart[-1].strip() == "total: 4 to 0.5 in 4 steps"


def test_curves_of_a_run_draw_themselves(tmp_path: Path) -> None:
    (tmp_path / "avatar").mkdir()
    steps = np.arange(100.0)
    np.savez(
        tmp_path / "avatar" / "losses.npz",
        step=steps,
        l1=1 / (1 + steps),
        total=2 / (1 + steps),
        mask=0 * steps,
    )
    curves = read_curves(tmp_path)
    assert [curve.name for curve in curves.curves] == ["total", "l1"]
    assert "total: 0.586 to 0.021 in 100 steps" in str(curves) and "\nl1       █" in repr(curves)
    page = curves._repr_html_()
    assert page.count("<svg") == 2 and "script" not in page
    with pytest.raises(RunError, match="no losses"):
        read_curves(tmp_path / "nowhere")
