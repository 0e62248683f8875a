"""Without `--config` the one that fits the session is taken, and it is said why and what is held out."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from simulacra.recon.pipeline import ReconstructionConfig, protocol_of
from simulacra.recon.runs.configuration import load_config
from simulacra.recon.session import Frame, Session, SessionCamera, Source
from simulacra.tools.cli import main
from simulacra.tools.commands.configurations import brought_configs
from simulacra.tools.commands.proposal import covered_height, held_out, propose_config
from tests.recon.ellipsoid_person import synthetic_session


def looking_at(center: np.ndarray, point: np.ndarray) -> np.ndarray:
    """World to camera, level."""
    forward = (point - center) / np.linalg.norm(point - center)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    viewmat = np.eye(4)
    viewmat[:3, :3], viewmat[:3, 3] = rotation, -rotation @ center
    return viewmat


def rig(
    names: str,
    frames: int,
    distance: float = 2.5,
    focal: float = 600.0,
    depth: bool = False,
    arc: float = 360.0,
) -> Session:
    """Cameras of 640 x 480 on an arc about a point 1 m over the floor."""
    cameras = []
    for k, name in enumerate(names):
        angle = np.radians(arc) * k / len(names)
        point = np.array([0.0, 1.0, 0.0])
        center = point + distance * np.array([np.sin(angle), 0.1, np.cos(angle)])
        K = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1.0]])
        scale = 1000.0 if depth else None
        cameras.append(SessionCamera(name, 640, 480, K, looking_at(center, point), None, scale))
    sources = {name: Source(f"{name}.mp4") for name in names}
    moments = tuple(Frame(index, sources) for index in range(frames))
    return Session(Path("S"), tuple(cameras), moments, (), {})


@pytest.mark.parametrize(
    ("session", "config", "said"),
    [
        (rig("01234567", 1, depth=True), "studio_rgbd", "2 cameras (3, 6)"),
        (rig("abcdefgh", 1, depth=True), "studio_rgbd", "2 cameras (d, g)"),
        (rig("abcd", 30, depth=True), "studio_rgbd", "the colors of 3 of 30 frames"),
        (rig("abcd", 1, depth=True), "studio_rgbd", "nothing; the scores will be of pictures that"),
        (rig("abcd", 100), "multiview_video", "the colors of 10 of 100 frames"),
        (rig("abcd", 5), "multiview_video", "the colors of 1 of 5 frames"),
        (rig("abcdefghijkl", 1), "multiview_video", "2 cameras (e, j)"),
        (rig("abcd", 90, distance=0.7, arc=100), "desk_face", "the colors of 3 of 30 frames"),
        (rig("a", 1, depth=True), "portrait", "nothing; the scores will be of pictures that"),
        (rig("a", 20, depth=True), "depth_camera", "the colors of 2 of 20 frames"),
        (rig("a", 40), "one_camera", "the colors of 4 of 40 frames"),
        (rig("a", 1), "one_camera", "nothing; the scores will be of pictures that"),
    ],
    ids=["ring", "ring-other-names", "few-with-depth", "few-of-a-moment", "videos", "short", "many-of-a-moment",
         "desk", "portrait", "one-with-depth", "one", "one-picture"],
)  # fmt: skip
def test_the_configuration_fits_and_says_what_it_holds_out(session: Session, config: str, said: str) -> None:
    proposal = propose_config(session)
    assert proposal.config == config
    settings = load_config(ReconstructionConfig, brought_configs()[config], proposal.options)
    protocol = protocol_of(session, settings.views)
    assert held_out(protocol).startswith(said)
    assert protocol.training_cameras and protocol.training_frames
    # Where the file's own fits, nothing is changed.
    own = settings.views == load_config(ReconstructionConfig, brought_configs()[config]).views
    assert own == (not proposal.options)


def test_what_pictures_cover_is_their_angle_at_the_distance() -> None:
    level = rig("abcd", 1, distance=2.0)
    # sqrt(1 + 0.1^2) * 2 m away, 480 pixels at a focal length of 600.
    assert covered_height(level) == pytest.approx(2.0 * np.hypot(1, 0.1) * 480 / 600)
    assert covered_height(rig("a", 1)) is None


def test_a_camera_on_its_side_covers_its_width() -> None:
    session = rig("abcd", 1, distance=2.0)
    turn = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    cameras = tuple(SessionCamera(c.name, c.width, c.height, c.K, turn @ c.viewmat) for c in session.cameras)
    turned = Session(session.root, cameras, session.frames, (), {})
    assert covered_height(turned) == pytest.approx(2.0 * np.hypot(1, 0.1) * 640 / 600)


def test_the_command_says_it_and_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = synthetic_session(tmp_path / "s01", cameras=8, size=32).root
    assert main(["reconstruct", str(root), "--print-config", "--avatar.steps", "7"]) == 0
    said = capsys.readouterr()
    printed = yaml.safe_load(said.out)
    assert printed["views"]["held_out_cameras"] == ["3", "6"] and printed["avatar"]["steps"] == 7
    first, second, third = said.err.splitlines()
    assert first.startswith(
        "no --config is given: studio_rgbd fits this session, because it has depth (8 cameras"
    )
    assert second == "held out: 2 cameras (3, 6)"
    assert third == f"the same in full: simulacra reconstruct {root} --config studio_rgbd --out RUN"
    # A named one is taken as it is, without a word.
    assert main(["reconstruct", str(root), "--print-config", "--config", "smoke"]) == 0
    assert capsys.readouterr().err == ""
    # One without a body is proposed where none is wanted.
    assert main(["reconstruct", str(root), "--print-config", "--avatar.kind", "depth_splats"]) == 0
    assert "baselines/depth_splats fits" in capsys.readouterr().err


def test_without_a_body_the_baseline_is_the_one_that_the_cameras_have_depth_for() -> None:
    for depth, named in ((True, "baselines/depth_splats"), (False, "baselines/free_splats")):
        assert propose_config(rig("01234567", 1, depth=depth), body=False).config == named


def test_what_is_said_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = synthetic_session(tmp_path / "s 01", cameras=6, size=32).root
    main(["reconstruct", str(root), "--print-config"])
    said = capsys.readouterr()
    command = shlex.split(said.err.splitlines()[2].partition(": simulacra ")[2])
    assert main([*command, "--print-config"]) == 0
    assert capsys.readouterr().out == said.out
