"""Designs: which points are measured, that they are kept, and that means, intervals and limits come out of them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.runs.configuration import load_config
from simulacra.render.runtime.errors import ConfigError, RunError
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.design import points as points_module
from simulacra.tools.design.chart import Mark, Series, interval_chart
from simulacra.tools.design.config import DesignConfig, Sweep, Variant
from simulacra.tools.design.page import write_design
from simulacra.tools.design.points import Point, Result, measure, points_of
from simulacra.tools.design.summary import allowed, estimate, summarise
from simulacra.tools.virtual.config import VirtualCaptureConfig
from simulacra.tools.virtual.rig import RigConfig

SYNC = Sweep(name="sync error, ms", option="sync_ms", values=(0.0, 10.0, 50.0))
TWO = (Variant(name="4"), Variant(name="8", stage={"rig.count": 8}))
DESIGN = DesignConfig(
    stage=VirtualCaptureConfig(rig=RigConfig(count=4, judges=2)), variants=TWO, sweeps=(SYNC,), repeats=3
)


def planted(point: Point) -> float:
    """Joint error of people that differ by 10 mm, of rigs by 2, and that grows by a tenth of the sync error."""
    late = float(point.value) if point.value is not None else 0.0
    return 10.0 * point.repeat + (0.0 if point.variant == "8" else 2.0) + 0.1 * late + 20.0


def results(design: DesignConfig = DESIGN) -> list[Result]:
    return [
        Result(point, {"true_joints_mm": planted(point), "psnr_fg": 24.0}, (), 1.0)
        for point in points_of(design)
    ]


def test_points_are_rigs_times_values_times_people() -> None:
    points = list(points_of(DESIGN))
    assert len(points) == 2 * (1 + 3) * 3
    assert {point.stage.rig.count for point in points} == {4, 8}
    assert {point.stage.person.seed for point in points} == {0, 1, 2}
    assert all(point.run.views.held_out_cameras == ("judge0", "judge1") for point in points)
    # The sweep's first value is the rig as it is: one capture serves both.
    assert len({point.key for point in points}) == 2 * 3 * 3
    late = [point for point in points if point.value == 50.0]
    assert all(point.stage.sync_ms == 50.0 for point in late)


def test_what_is_not_there_cannot_be_varied() -> None:
    with pytest.raises(ConfigError, match="synk_ms"):
        list(points_of(DesignConfig(sweeps=(Sweep(name="?", option="synk_ms", values=(1,)),))))
    with pytest.raises(ConfigError):
        list(points_of(DesignConfig(variants=(Variant(name="?", stage={"rig.count": "many"}),))))
    with pytest.raises(ConfigError, match="metrics that exist"):
        DesignConfig(metrics=("beauty",))


def test_a_point_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point, calls = next(points_of(DESIGN)), []

    def made(point: Point, work: Path) -> dict[str, object]:
        calls.append(point)
        assert work.is_dir()
        return {
            "commit": None,
            "means": {"true_joints_mm": 12.5},
            "found": [],
            "seconds": 3.0,
            "failed": None,
        }

    monkeypatch.setattr(points_module, "_run_point", made)
    first, second = measure(point, tmp_path), measure(point, tmp_path)
    assert len(calls) == 1
    assert first.means == second.means == {"true_joints_mm": 12.5}
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]  # no work is left behind
    measure(point, tmp_path, again=True)
    assert len(calls) == 2
    (tmp_path / f"{point.key}.json").write_text("{}")
    assert measure(point, tmp_path).means == {"true_joints_mm": 12.5}
    assert len(calls) == 3


def test_a_capture_that_cannot_be_made_is_told_and_not_dropped(tmp_path: Path) -> None:
    """Of 3 cameras in a room that does not hold them."""
    design = DesignConfig(
        stage=VirtualCaptureConfig(rig=RigConfig(count=3, distance=9.0, width=64, height_px=64)), repeats=2
    )
    point = next(points_of(design))
    result = measure(point, tmp_path)
    assert result.failed is not None and "outside of the room" in result.failed
    rows = summarise(design, [result, Result(next(points_of(design)), {"true_joints_mm": 5.0}, (), 1.0)])
    assert len(rows[0].failed) == 1
    assert rows[0].estimates["true_joints_mm"].count == 1


def test_paired_differences_know_more_than_the_means() -> None:
    rows = {(row.variant, row.value): row for row in summarise(DESIGN, results())}
    late = rows["4", 50.0]
    assert late.estimates["true_joints_mm"].mean == pytest.approx(37.0)
    low, high = late.estimates["true_joints_mm"].interval or (0.0, 0.0)
    # Student's t with two degrees of freedom: 4.303 s / sqrt(3), s = 10.
    assert high - low == pytest.approx(2 * 4.3027 * 10 / np.sqrt(3), rel=1e-4)
    difference = late.against["true_joints_mm"]
    assert difference.mean == pytest.approx(5.0)
    assert difference.interval == pytest.approx((5.0, 5.0))
    assert rows["8", None].against["true_joints_mm"].mean == pytest.approx(-2.0)
    assert "true_joints_mm" not in rows["4", None].against


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        found = estimate(list(rng.normal(3.0, 2.0, 4)))
        assert found is not None and found.interval is not None
        hits += found.interval[0] <= 3.0 <= found.interval[1]
    assert 0.92 < hits / 600 < 0.98
    single = estimate([4.0])
    assert single is not None and single.interval is None
    assert estimate([]) is None


def test_what_is_allowed_is_read_off_the_sweep() -> None:
    rows = summarise(DESIGN, results())
    # 32 mm at 0; a tenth more is 35.2 mm, which 0.1 mm a millisecond reaches at 32 ms.
    assert allowed(DESIGN, rows, "4", SYNC) == "about 32"
    flat = [Result(r.point, {"true_joints_mm": 30.0}, (), 1.0) for r in results()]
    assert allowed(DESIGN, summarise(DESIGN, flat), "4", SYNC) == "all of those measured, up to 50"


def test_the_page_has_every_rig_value_and_real_capture(tmp_path: Path) -> None:
    page = write_design(tmp_path, DESIGN, summarise(DESIGN, results()), {"studio": {"psnr_fg": 23.37}})
    text = page.read_text("utf-8")
    for word in ("sync error, ms", "studio", "about 32", "What carries over", "+5.0 [+5.0, +5.0]"):
        assert word in text, word
    described = json.loads((tmp_path / "design.json").read_text())
    assert len(described["rows"]) == 2 * 4
    chart = (tmp_path / "sync_ms_psnr_fg.svg").read_text()
    assert "studio (real, dashed)" in chart
    assert load_config(DesignConfig, tmp_path / "config.yaml") == DESIGN


def test_charts_are_well_formed_and_marks_are_inside() -> None:
    text = interval_chart(
        "error & so on",
        "x",
        ((0.0, "0"), (5.0, "5")),
        [Series("a<b", (0.0, 5.0), (1.0, 3.0), ((0.5, 1.5), None))],
        [Mark("real", 7.0)],
    )
    root = ET.fromstring(text)
    height = float(root.attrib["height"])
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 < float(circle.attrib["cy"]) < height
    dashed = [e for e in root.iter("{http://www.w3.org/2000/svg}line") if "stroke-dasharray" in e.attrib]
    assert len(dashed) == 1 and 0 < float(dashed[0].attrib["y1"]) < height


def test_the_configurations_that_are_brought_are_sound() -> None:
    found = {name: path for name, path in brought_configs().items() if name.startswith(("design/", "stage/"))}
    assert len(found) >= 5
    for name, path in found.items():
        if name.startswith("design/"):
            assert list(points_of(load_config(DesignConfig, path)))
        else:
            assert load_config(VirtualCaptureConfig, path).frames > 0


def test_a_run_beside_must_be_finished(tmp_path: Path) -> None:
    from simulacra.tools.design.command import run_design

    with pytest.raises(RunError, match="no finished run"):
        run_design(tmp_path / "out", None, beside=[tmp_path])
