"""Every example gives what it says: known answers, from programs as people copy them."""

from __future__ import annotations

import ast
import json
import re
import runpy
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from simulacra.recon.pipeline import ReconstructionConfig, reconstruct
from simulacra.recon.runs.configuration import load_config
from simulacra.recon.session import load_session
from simulacra.recon.session.truth import read_truth
from simulacra.recon.session.video import probe_video
from simulacra.render.body import load_body
from simulacra.render.image import read_image, write_image
from simulacra.render.runtime.errors import AssetError, CalibrationError
from simulacra.tools.commands.configurations import brought_configs

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
SMALLER = "--refine.voxel_mm 32 --preflight.motion_frames 0 --evaluate.turntable 0 --avatar.lining 500"
JOINTS_INSIDE = 0.9  # a toe or a jaw bone may lie a pixel outside of the silhouette


def example(name: str) -> Callable[..., Any]:
    """The function `main` of an example, as its file has it."""
    main: Callable[..., Any] = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    return main


@pytest.fixture(scope="module", autouse=True)
def _body() -> None:
    try:
        load_body()
    except AssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The session that the example of a virtual capture records, and what the example returned."""
    session = tmp_path_factory.mktemp("captured") / "session"
    return session, example("virtual_capture")(session, frames=3, size=192)


@pytest.fixture(scope="module")
def run(captured: tuple[Path, float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of that session with the smallest configuration, and smaller."""
    out = tmp_path_factory.mktemp("reconstructed") / "run"
    settings = load_config(ReconstructionConfig, brought_configs()["smoke"], SMALLER.split())
    reconstruct(captured[0], settings, out, "smoke")
    return out


def test_there_are_ten_that_explain_themselves_and_can_be_started() -> None:
    assert len(NAMES) == 10
    for name in NAMES:
        source = (EXAMPLES / f"{name}.py").read_text()
        assert f"python examples/{name}.py" in (ast.get_docstring(ast.parse(source)) or "")
        assert 'if __name__ == "__main__":' in source


def test_gaussians_fit_a_view_that_they_never_saw(tmp_path: Path) -> None:
    fit = example("fit_gaussians")
    before, after = (fit(tmp_path / "fitted.png", steps=n, count=1500, size=64) for n in (1, 50))
    # A black picture of this scene has 14 dB; fifty steps gave 24 dB.
    assert before < 16
    assert after > 22
    assert read_image(tmp_path / "fitted.png").shape == (64, 128, 3)


def test_silhouettes_say_where_a_person_stands() -> None:
    find = example("mesh_silhouette")
    millimetres, degrees = find(steps=60, size=48)
    # At the start it is 147 mm and 20 degrees away; a pixel is 50 mm.
    assert millimetres < 10
    assert degrees < 3
    assert find(steps=1, size=48)[0] > 100


def test_a_body_is_posed_and_drawn(tmp_path: Path) -> None:
    wrist = example("posed_body")(tmp_path / "posed.png", width=120)
    # The raised left arm: beside the head and on the person's left, which is +X.
    assert 0.3 < float(wrist[0]) < 0.7
    assert float(wrist[1]) > 1.5
    picture = read_image(tmp_path / "posed.png")
    assert picture.shape == (160, 120, 3)
    drawn = np.abs(picture - picture[0, 0]).max(-1) > 0.05
    assert 0.1 < drawn.mean() < 0.5


def test_a_virtual_capture_agrees_with_its_truth(captured: tuple[Path, float]) -> None:
    session, inside = captured
    assert JOINTS_INSIDE < inside <= 1
    assert read_image(session.with_suffix(".png")).shape == (192, 3 * 192, 3)


def test_a_session_is_read_into_points_on_the_person(captured: tuple[Path, float]) -> None:
    session, _ = captured
    points = example("read_session")(session)
    truth = read_truth(load_session(session))
    assert truth is not None
    true = truth.frame(0).surface
    assert len(points) > 1000
    distances, _ = cKDTree(true).query(points)
    # The sensor's own noise is some millimetres; at the outline single points fly off.
    assert np.median(distances) < 0.01
    assert np.quantile(distances, 0.9) < 0.03
    moved, _ = cKDTree(true).query(points + np.array([0.0, 0.0, 0.05], np.float32))
    assert np.median(moved) > 0.015  # points that are 5 cm elsewhere are not on the person


def test_records_of_a_run_are_arrays_that_belong_together(run: Path, captured: tuple[Path, float]) -> None:
    records = example("run_records")(run)
    session = load_session(captured[0])
    assert tuple(records["frames"]) == session.frame_indices
    assert records["detected"].shape == (3, len(session.cameras), 33, 2)
    assert len(records["means"]) == len(records["faces"]) == len(records["opacities"])
    assert records["rotations"].shape[1:] == (len(load_body().bone_names), 3)
    # Somebody who walks on the spot near the middle of the rig, less than 3 m tall.
    assert np.abs(records["translation"]).max() < 1
    assert records["means"][:, 1].max() < 3
    assert np.isfinite(records["psnr_fg"]).all()
    assert json.loads((run / "run.json").read_text())["config_name"] == "smoke"


def test_runs_are_compared_on_the_views_that_they_share(run: Path, tmp_path: Path) -> None:
    """Against itself but for a known difference, in one metric, and without one view."""
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text())
    views = metrics["scores"]["psnr_fg"]["views"]
    for view in views:
        view["value"] -= 1.5
    views.pop()["value"] = 99.0
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    differences = example("compare_runs")(run, tmp_path)
    assert differences.pop("psnr_fg") == (pytest.approx(1.5), None)  # of one frame: no interval
    assert len(differences) > 4
    assert all(mean == 0 for mean, _ in differences.values())


def test_the_program_of_the_readme_draws_the_person_as_captured(
    run: Path, captured: tuple[Path, float]
) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text("utf-8")
    program = re.search(r"^    from pathlib .*?\n\n(?=\S)", readme, re.MULTILINE | re.DOTALL)
    assert program
    session = load_session(captured[0])
    text = (
        textwrap.dedent(program[0])
        .replace('"RUN"', repr(str(run)))
        .replace('"SESSION"', repr(str(captured[0])))
    )
    names: dict[str, Any] = {}
    exec(text.replace('"1"', repr(session.camera_names[0])), names)
    alpha, mask = names["drawn"].alpha[0], torch.from_numpy(session.mask(0, session.camera_names[0]))
    # The smallest configuration: most of the person is covered, and little else.
    assert float(alpha[mask > 0.5].mean()) > 0.5
    assert float(alpha[mask < 0.5].mean()) < 0.2


def test_an_own_importer_turns_foreign_axes_into_ours(tmp_path: Path) -> None:
    """A camera two metres along the foreign y, one metre up, that looks back at the middle."""
    pictures = np.random.default_rng(0).random((2, 8, 10, 3)).astype(np.float32)
    for index, picture in enumerate(pictures):
        write_image(tmp_path / f"capture/front/{index:03d}.png", picture)
    axes = [[-1, 0, 0], [0, 0, 1], [0, 1, 0]]
    rig = [{"name": "front", "focal_px": 12.0, "center_m": [0, 2, 1], "right_up_back": axes}]
    (tmp_path / "capture" / "rig.json").write_text(json.dumps(rig))
    own = example("own_importer")
    session = own(tmp_path / "capture", tmp_path / "session")
    assert session.frame_indices == (0, 1)
    np.testing.assert_allclose(session.image(1, "front"), pictures[1], atol=0.5 / 255 + 1e-6)  # 8 bits
    camera = session.cameras_as_tensors("front")
    # z up becomes y up, so that y becomes -z; a point a metre up, in the middle, is on the optical axis.
    torch.testing.assert_close(camera.centers()[0], torch.tensor([0.0, 1.0, -2.0]))
    pixels, depth = camera.project(torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.5, 0.0]]))
    torch.testing.assert_close(pixels[0], torch.tensor([[5.0, 4.0], [5.0, 1.0]]))
    torch.testing.assert_close(depth[0], torch.tensor([2.0, 2.0]))

    (tmp_path / "capture" / "rig.json").write_text(json.dumps([*rig, rig[0] | {"name": "gone"}]))
    with pytest.raises(CalibrationError, match="no pictures"):
        own(tmp_path / "capture", tmp_path / "another")
    assert not (tmp_path / "another").exists()


def test_an_avatar_waves(run: Path, tmp_path: Path) -> None:
    poses = example("drive_avatar")(run, tmp_path / "waving.mp4", size=32)
    facts = probe_video(tmp_path / "waving.mp4")
    assert (facts.frames, facts.width, facts.height) == (len(poses.translation), 32, 32)
    body = load_body()
    wrists = body.keypoints_at("pose33", body.rest(body.neutral_shape()), poses)[:, [15, 16]]
    moved = (wrists.amax(0) - wrists.amin(0)).norm(dim=-1)
    assert float(moved[0]) > 0.1  # the left one waves, the right one hangs still
    assert float(moved[1]) == 0


def test_a_loss_of_ones_own_is_paid_for(run: Path, captured: tuple[Path, float], tmp_path: Path) -> None:
    """Training makes the edges better that it pays for, which without a weight cost nothing."""
    train = example("own_loss")
    paid = train(run, captured[0], tmp_path / "paid", weight=20.0, steps=16) / 20
    unpaid = train(run, captured[0], tmp_path / "unpaid", weight=1e-6, steps=16) / 1e-6
    assert paid[0] == pytest.approx(
        unpaid[0], rel=1e-4
    )  # of the same drawing: the weight is all that differs
    # Views and backgrounds are the same in both, step for step.
    assert (paid[8:] < unpaid[8:]).all()
