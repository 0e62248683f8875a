"""Pictures that are drawn for the page are those of the capture and of our own rasterizer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.session import load_session
from simulacra.render.body import BodyModel
from simulacra.render.image import read_image, read_mask
from simulacra.render.runtime.errors import InputError
from simulacra.tools.viewer import drawing, play, scene
from simulacra.tools.viewer.entries import find_entries
from simulacra.tools.viewer.pictures import FULL_SCALE
from simulacra.tools.viewer.studio import DRAWN, Studio
from simulacra.tools.viewer.summary import Summary
from tests.recon.evaluate.test_again import save_run
from tests.recon.motion.planted import as_bvh, own_skeleton
from tests.recon.planted_capture import SIZE, planted_avatar, planted_session

FRAME, CAMERA = 1, "c"


@pytest.fixture(scope="module")
def root(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    session = planted_session(folder / "session", body, planted_avatar(body))
    save_run(folder / "run", session, body)
    return folder


@pytest.fixture(scope="module")
def studio(root: Path) -> Studio:
    return Studio([root])


@pytest.fixture(scope="module")
def summary(studio: Studio, root: Path) -> Summary:
    return studio.summary(find_entries([root / "run"])[0].id)


@pytest.fixture(scope="module")
def run(studio: Studio, summary: Summary) -> drawing.DrawnRun:
    return studio.drawn(summary)


def view(studio: Studio, summary: Summary, layer: str) -> np.ndarray:
    return studio.view(summary, layer, CAMERA, FRAME, SIZE).astype(np.float32) / 255


def test_every_layer_that_is_offered_can_be_drawn(studio: Studio, summary: Summary) -> None:
    assert set(DRAWN) == set(drawing.LAYERS)
    for layer in DRAWN:
        assert view(studio, summary, layer).shape == (SIZE, SIZE, 3), layer
    with pytest.raises(InputError, match="no depth"):
        view(studio, summary, "measured")


def test_render_and_photograph_are_equal_where_the_avatar_is_the_truth(
    studio: Studio, summary: Summary, root: Path
) -> None:
    """The photographs were drawn from this very avatar in these poses."""
    photo = read_image(root / "session" / "images" / CAMERA / f"{FRAME:06d}.png")
    mask = read_mask(root / "session" / "masks" / CAMERA / f"{FRAME:06d}.png")
    np.testing.assert_allclose(view(studio, summary, "photo"), photo, atol=0.51 / 255)
    np.testing.assert_allclose(view(studio, summary, "person"), photo * mask[..., None], atol=0.51 / 255)
    np.testing.assert_allclose(view(studio, summary, "render"), photo, atol=1.01 / 255)  # two roundings
    other = studio.view(summary, "render", CAMERA, 0, SIZE).astype(np.float32) / 255
    assert np.abs(other - photo).mean() > 0.01  # the control: another moment


def test_parts_share_out_what_is_covered(run: drawing.DrawnRun) -> None:
    shares = drawing.part_shares(run, CAMERA, FRAME, SIZE)
    alpha = run.draw(FRAME, CAMERA, SIZE)[1]
    np.testing.assert_allclose(shares.sum(-1), alpha, atol=1e-4)
    rows = {name: np.average(np.arange(SIZE), weights=shares[..., i].sum(1) + 1e-9)
            for i, name in enumerate(drawing.PART_GROUPS)}  # fmt: skip
    assert rows["head"] < rows["torso"] < rows["legs"] < rows["feet"]


def test_an_error_of_the_head_is_the_heads(run: drawing.DrawnRun) -> None:
    shares = drawing.part_shares(run, CAMERA, FRAME, SIZE)
    head = (shares.argmax(-1) == 0) & (shares.sum(-1) > 0.5)
    theirs = np.full((SIZE, SIZE, 3), 100, np.uint8)
    ours = theirs + np.uint8(51) * head[..., None].astype(np.uint8)
    found = drawing.region_errors(run, CAMERA, FRAME, ours, theirs)
    assert found["head"] == pytest.approx(20 * math.log10(5)) and found["torso"] == found["legs"] == 100


def test_depth_is_colored_over_the_metres_that_are_said(run: drawing.DrawnRun) -> None:
    """The camera is 3.5 m from the person's axis, who is less than 0.6 m to any side of it."""
    near, far = drawing.depth_range(run, CAMERA, FRAME, SIZE)
    assert 2.9 < near < far < 4.1
    colors, span = drawing.paint_depth(np.array([[1.0, 2.0, 0.0]]), np.array([[True, True, False]]))
    assert span == pytest.approx((1.02, 1.98)) and colors[0, 2].max() == 0
    assert colors[0, 0, 0] > colors[0, 0, 2] and colors[0, 1, 2] > colors[0, 1, 0]  # near is red, far is blue


def unpacked(content: bytes) -> tuple[dict[str, np.ndarray], dict]:
    length = int.from_bytes(content[:4], "little")
    head = json.loads(content[4 : 4 + length])
    kinds = {"f4": np.float32, "u4": np.uint32, "u1": np.uint8}
    arrays = {}
    for each in head["arrays"]:
        at = 4 + length + each["offset"]
        assert at % 4 == 0
        count = math.prod(each["shape"])
        arrays[each["name"]] = np.frombuffer(content, kinds[each["type"]], count, at).reshape(each["shape"])
    return arrays, head["facts"]


def test_the_scene_holds_the_body_where_the_fit_has_it(run: drawing.DrawnRun, body: BodyModel) -> None:
    arrays, _ = unpacked(scene.scene_part(run, "body", FRAME, None, ()))
    np.testing.assert_array_equal(arrays["verts"], run.verts(FRAME).numpy())
    mesh, _ = unpacked(scene.scene_part(run, "mesh", FRAME, None, ()))
    np.testing.assert_array_equal(mesh["faces"], body.faces.numpy())
    assert mesh["colors"].shape == (body.n_verts, 3)
    points, _ = unpacked(scene.scene_part(run, "points", FRAME, None, ()))
    low, high = arrays["verts"].min(0) - 0.05, arrays["verts"].max(0) + 0.05
    assert ((points["body"] > low) & (points["body"] < high)).all()
    splats, facts = unpacked(scene.scene_part(run, "splats", FRAME, CAMERA, ()))
    np.testing.assert_array_equal(splats["means"], run.gaussians(FRAME, CAMERA).means.numpy())
    assert facts == {"eps2d": 0.1} and splats["sh"].shape[1:] == (1, 3)


def test_the_error_on_the_body_is_that_of_the_pictures(
    run: drawing.DrawnRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, facts = unpacked(scene.scene_part(run, "error", FRAME, None, ["c"]))
    colors = arrays["colors"]
    unseen = (colors == scene.UNSEEN).all(-1)
    assert facts["cameras"] == ["c"] and 0.2 < unseen.mean() < 0.9  # one camera sees a side
    # The avatar is the truth: near black, but for the rims of its balls, which are laid over the photograph twice.
    assert np.median(colors[~unseen].max(-1)) < 60
    right = run.draw
    monkeypatch.setattr(run, "draw", lambda frame, name, side: right(1 - frame, name, side))
    wrong = unpacked(scene.scene_part(run, "error", FRAME, None, ["c"]))[0]["colors"]
    assert np.median(wrong[~unseen].max(-1)) > 100  # the control: another moment
    painted = scene.paint_error(np.array([0.0, FULL_SCALE, 1.0]), np.array([True, True, False]))
    assert painted[0].max() <= 4 and painted[1].min() > 150 and tuple(painted[2]) == scene.UNSEEN


def test_a_slider_turns_its_bone_further(run: drawing.DrawnRun) -> None:
    motions = play.Motions.none()
    asked = {"frame": FRAME, "bones": {"root": [0.0, 0.25, 0.0]}, "expressions": {"jawOpen": 0.5}}
    pose = play.chosen_pose(motions, run, asked)
    assert run.fit is not None
    # The fit's turn about the vertical is half a radian.
    assert pose.rotations[0, 0].tolist() == pytest.approx([0, 0.75, 0], abs=1e-5)
    assert float(pose.expression.sum()) == 0.5
    assert torch.equal(pose.rotations[0, 1:], run.fit.pose_of(FRAME).rotations[0, 1:])
    still = play.draw_pose(motions, run, asked | {"side": 128})
    opened = play.draw_pose(motions, run, asked | {"side": 128, "azimuth": 90})
    assert still.shape == (128, 128, 3) and np.abs(still.astype(int) - opened).mean() > 1
    assert still[0, 0].tolist() == [241, 241, 238]  # the backdrop


@pytest.mark.parametrize(
    "wrong",
    [{"frame": 9}, {"frame": "1"}, {"bones": {"wing": [0, 0, 0]}}, {"bones": {"head": [0, 0]}}, {"bones": 3},
     {"expressions": {"jawOpen": math.inf}}, {"motion": "gone"}, {"bones": {"head": [0, 99, 0]}}],
    ids=str,
)  # fmt: skip
def test_poses_that_cannot_be_are_refused(run: drawing.DrawnRun, wrong: dict) -> None:
    with pytest.raises(InputError):
        play.chosen_pose(play.Motions.none(), run, wrong)


def test_a_motion_is_brought_played_and_filmed(run: drawing.DrawnRun, body: BodyModel) -> None:
    rotations = np.zeros((4, len(body.bone_names), 3))
    rotations[:, 0, 1] = np.linspace(0, 1.5, 4)
    motions = play.Motions.none()
    text = as_bvh(own_skeleton(body, run.rig.rest, rotations)).encode()
    made = play.add_motion(motions, run, text)
    assert made["frames"] >= 4 and made["fps"] == 30
    last = play.chosen_pose(motions, run, {"motion": made["motion"], "at": made["frames"] - 1})
    assert float(last.rotations[0, 0, 1]) == pytest.approx(1.5, abs=0.02)
    asked = {"motion": made["motion"], "side": 64}
    for kind in ("motion", "turntable"):
        clip = play.draw_clip(motions, run, asked | {"kind": kind, "count": 3})
        assert clip[4:8] == b"ftyp" and len(clip) > 1000
    with pytest.raises(InputError):
        play.add_motion(motions, run, b"no motion")


def test_a_capture_alone_shows_its_photographs(studio: Studio, root: Path) -> None:
    summary = studio.summary(find_entries([root / "session"])[0].id)
    assert (
        summary.entry.kind == "session"
        and summary.camera_names == load_session(root / "session").camera_names
    )
    assert view(studio, summary, "photo").max() > 0.5
    with pytest.raises(InputError, match="no reconstruction"):
        view(studio, summary, "render")
