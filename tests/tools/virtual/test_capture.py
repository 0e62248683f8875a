"""A virtual capture: a normal session, the same bytes again, and a truth that agrees with what its cameras recorded."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from simulacra.recon.session import Session, load_session
from simulacra.recon.session.truth import Truth, read_truth
from simulacra.recon.session.video import iter_video
from simulacra.render.body import load_body
from simulacra.render.camera import Cameras
from simulacra.render.runtime.errors import AssetError, ConfigError, RunError
from simulacra.tools.cli import main, parse
from simulacra.tools.commands.proposal import propose_config
from simulacra.tools.virtual import capture
from simulacra.tools.virtual.capture import record_session
from simulacra.tools.virtual.config import Fault, VirtualCaptureConfig
from simulacra.tools.virtual.files import PictureFiles
from simulacra.tools.virtual.motion import MotionConfig
from simulacra.tools.virtual.rig import RigConfig
from simulacra.tools.virtual.sensors.color import ColorSensor
from simulacra.tools.virtual.sensors.depth import TimeOfFlight
from tests.recon.ellipsoid_person import synthetic_session

SMALL = VirtualCaptureConfig(
    motion=MotionConfig(name="walk"),
    rig=RigConfig(count=2, width=160, height_px=144, judges=1, distortion=(-0.25, 0.08, 0.0, 0.0)),
    depth=TimeOfFlight(),
    frames=2,
    fps=10.0,
    files="png",
    faults=(Fault(camera="1", lag_ms=80.0, turn_deg=1.0, move_mm=20.0, focal_percent=2.0),),
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Truth]:
    try:
        load_body()
    except AssetError as error:
        pytest.skip(str(error))
    session = record_session(SMALL, tmp_path_factory.mktemp("studio") / "session")
    truth = read_truth(session)
    assert truth is not None
    return session, truth


def test_the_last_line_is_the_whole_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, out = synthetic_session(tmp_path / "made", cameras=4, frames=3, size=64), tmp_path / "a session"
    monkeypatch.setattr(capture, "record_session", lambda *_: made)
    assert main(["stage", "--out", str(out)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(last.removeprefix("Next: "))
    assert words[:3] == ["simulacra", "reconstruct", str(out)] and "NAME" not in last
    call = parse(words[1:])
    assert call.keywords["config"] == propose_config(made).config  # type: ignore[attr-defined]


def camera_of(truth: Truth, session: Session, name: str) -> Cameras:
    true, given = truth.cameras[name], session.camera(name)
    return Cameras(
        torch.from_numpy(true.viewmat).float()[None],
        torch.from_numpy(true.K).float()[None],
        given.width,
        given.height,
    )


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_configuration_is_the_same_bytes_on_any_number_of_threads(
    recorded: tuple[Session, Truth], tmp_path: Path
) -> None:
    session, _ = recorded
    before = torch.get_num_threads()
    torch.set_num_threads(1 if before > 1 else 2)
    try:
        again = record_session(SMALL, tmp_path / "again")
    finally:
        torch.set_num_threads(before)
    first, second = digests(session.root), digests(again.root)
    assert first == second
    assert len(first) > 20


def test_true_points_project_to_where_the_pictures_show_them(recorded: tuple[Session, Truth]) -> None:
    """Through the true camera the true surface covers the true mask, at the true depth."""
    session, truth = recorded
    view, frame = truth.view(0, "0"), truth.frame(0)
    assert view is not None
    uv, z = camera_of(truth, session, "0").project(torch.from_numpy(frame.surface))
    at = uv[0].floor().long().numpy()
    inside = (at >= 0).all(1) & (at[:, 0] < 160) & (at[:, 1] < 144)
    shown = inside & view.visible
    assert shown.sum() > 1000
    depth = view.depth[at[shown, 1], at[shown, 0]]
    assert (depth > 0).mean() > 0.99
    assert np.median(np.abs(depth - z[0].numpy()[shown])) < 0.004
    # Control: moved by 10 cm it does not.
    away, _ = camera_of(truth, session, "0").project(torch.from_numpy(frame.surface + np.float32(0.1)))
    at = np.clip(away[0].floor().long().numpy(), 0, [159, 143])
    assert (view.depth[at[shown, 1], at[shown, 0]] > 0).mean() < 0.95
    assert (view.mask > 0.5).sum() == pytest.approx((view.depth > 0).sum(), rel=0.08)


def test_measured_depth_is_the_true_one_and_noise(recorded: tuple[Session, Truth]) -> None:
    session, truth = recorded
    measured, view = session.depth(0, "0"), truth.view(0, "0")
    assert measured is not None and view is not None
    depth, known = measured
    both = known & (view.depth > 0)
    assert both.sum() > 0.7 * (view.depth > 0).sum()
    error = depth[both] - view.depth[both]
    assert abs(np.median(error)) < 0.008
    assert 0.0003 < np.median(np.abs(error - np.median(error))) < 0.02


def test_a_lens_is_taken_out_by_the_session(recorded: tuple[Session, Truth]) -> None:
    """The undistorted picture shows the person where the pinhole truth has them; the file does not."""
    session, truth = recorded
    view = truth.view(0, "0")
    assert view is not None
    bare = replace(session, cameras=tuple(replace(camera, lens=None) for camera in session.cameras))

    def overlap(read: Session) -> float:
        found = read.depth(0, "0")
        assert found is not None and view is not None
        depth, known = found
        # Above the knees, where nothing but the person is as near.
        rows = np.flatnonzero((view.depth > 0).any(1))
        trunk = slice(rows[0], rows[0] + int(0.65 * len(rows)))
        near = (known & (depth < np.median(view.depth[view.depth > 0]) + 0.5))[trunk]
        person = (view.depth > 0)[trunk]
        return float((near & person).sum() / (near | person).sum())

    assert session.camera("0").lens is not None
    assert overlap(session) > 0.9
    assert overlap(session) > overlap(bare) + 0.02


def test_faults_are_in_the_calibration_and_in_the_clock(recorded: tuple[Session, Truth]) -> None:
    session, truth = recorded

    def apart(name: str) -> tuple[float, float, float]:
        given, true = session.camera(name), truth.cameras[name]
        turn = given.viewmat[:3, :3] @ true.viewmat[:3, :3].T
        centers = [-v[:3, :3].T @ v[:3, 3] for v in (given.viewmat, true.viewmat)]
        angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
        return (
            float(angle),
            1000 * float(np.linalg.norm(centers[0] - centers[1])),
            100 * float(given.K[0, 0] / true.K[0, 0] - 1),
        )

    assert apart("1") == pytest.approx((1.0, 20.0, 2.0), abs=1e-3)
    assert apart("0") == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)
    assert apart("judge0") == pytest.approx((0.0, 0.0, 0.0), abs=1e-3)
    assert truth.cameras["1"].lag == pytest.approx(0.08)
    assert truth.cameras["judge0"].lag == 0
    times = {source.time for frame in session.frames[:1] for source in frame.sources.values()}
    assert times == {0.0}  # nobody admits to be late
    # The late camera's truth is of its own time: at 10 frames a second, 80 ms is most of a frame.
    late, own, after = truth.view(0, "1"), truth.frame(0), truth.frame(1)
    assert late is not None

    def covered(surface: np.ndarray) -> float:
        uv, _ = camera_of(truth, session, "1").project(torch.from_numpy(surface))
        at = uv[0].floor().long().numpy()
        inside = (at >= 0).all(1) & (at[:, 0] < 160) & (at[:, 1] < 144)
        return float((late.depth[at[inside, 1], at[inside, 0]] > 0).mean())

    assert covered(after.surface) > covered(own.surface)


def test_judges_have_true_masks_and_no_depth(recorded: tuple[Session, Truth]) -> None:
    session, truth = recorded
    assert session.mask(0, "judge0") is not None
    assert session.mask(0, "0") is None
    assert session.depth(0, "judge0") is None
    assert session.depth(0, "0") is not None
    assert set(truth.cameras) == {"0", "1", "judge0"}


def test_more_light_and_noise_are_seen(recorded: tuple[Session, Truth], tmp_path: Path) -> None:
    """And true pictures are kept only where they are wanted."""
    session, _ = recorded
    loud = replace(
        SMALL,
        frames=1,
        faults=(),
        depth=None,
        motion=MotionConfig(name="still"),
        true_pictures=False,
        masks=True,
        color=ColorSensor(iso=6400.0, exposure=0.5),
    )
    made = record_session(loud, tmp_path / "loud")
    bright, before = made.image(0, "0"), session.image(0, "0")
    assert bright.mean() > before.mean() + 0.04
    assert np.abs(np.diff(bright, axis=1)).mean() > 1.5 * np.abs(np.diff(before, axis=1)).mean()
    judged, judged_before = made.image(0, "judge0"), session.image(0, "judge0")
    # A judge sees neither: the person stands otherwise, the room around them is the same to the last grey level.
    assert np.median(np.abs(judged - judged_before)) < 0.5 / 255
    assert made.mask(0, "0") is not None
    truth = read_truth(load_session(made.root))
    assert truth is not None
    assert truth.view(0, "0") is None


def test_videos_have_a_picture_for_each_frame_and_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [cv2.blur(rng.integers(0, 255, (48, 64, 3), np.uint8), (9, 9)) for _ in range(5)]
    for name in ("one", "two"):
        with PictureFiles(tmp_path / name, "h264", 25.0, 12, None) as files:
            sources = [files.write("a", k, picture, k / 25) for k, picture in enumerate(pictures)]
    assert [source.number for source in sources] == [0, 1, 2, 3, 4]
    path = tmp_path / "one" / sources[0].file
    assert path.read_bytes() == (tmp_path / "two" / sources[0].file).read_bytes()
    back = list(iter_video(path, [0, 4]))
    for found, wanted in zip(back, (pictures[0], pictures[4])):
        assert np.abs(found.astype(float) - wanted).mean() < 6
    assert np.abs(back[0].astype(float) - pictures[4]).mean() > 6
    with pytest.raises(RunError, match="even sizes"), PictureFiles(tmp_path, "h264", 25.0, 12, None) as files:
        files.write("a", 0, np.zeros((47, 64, 3), np.uint8), 0.0)


def test_what_cannot_be_recorded_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="camera that is not there"):
        record_session(replace(SMALL, faults=(Fault(camera="9"),)), tmp_path / "none")
    with pytest.raises(ConfigError, match="outside of the room"):
        record_session(replace(SMALL, rig=replace(SMALL.rig, distance=7.0), faults=()), tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
