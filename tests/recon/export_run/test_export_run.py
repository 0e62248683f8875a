"""What is asked for of a run: poses, files for each, and the photographs that its texture may use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.export_run import (
    ALL,
    MESHES,
    MOTIONS,
    REST,
    SPLATS,
    choose_poses,
    write_motion,
    write_splats,
)
from simulacra.render.body import BodyModel, load_body
from simulacra.render.export.ply import half_turn, read_ply
from simulacra.render.runtime.errors import AssetError, InputError
from simulacra.tools.cli import main
from simulacra.tools.commands.export import FORMATS
from tests.recon.planted_run import planted_finished, write_planted_run


@pytest.fixture(scope="module")
def finished() -> FinishedAvatar:
    try:
        body: BodyModel = load_body()
    except AssetError as error:
        pytest.skip(str(error))
    return planted_finished(body)


@pytest.fixture(scope="module")
def run(finished: FinishedAvatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted_run(tmp_path_factory.mktemp("runs") / "run", finished)


def test_every_format_has_a_writer() -> None:
    assert set(FORMATS) == {*SPLATS, *MESHES, *MOTIONS, "avatar", "web"}


def test_poses_that_are_asked_for(finished: FinishedAvatar) -> None:
    frames = tuple(map(int, finished.fit.frames))
    assert choose_poses(finished, ALL, 25.0).numbers == frames
    one = choose_poses(finished, str(frames[-1]), 25.0)
    assert one.numbers == frames[-1:] and torch.equal(one.pose.rotations, finished.fit.pose.rotations[-1:])
    still = choose_poses(finished, REST, 25.0)
    assert len(still) == 1 and not still.numbers and not still.pose.rotations.any()
    for wrong in ("12345", "-1", "standing", "²"):
        with pytest.raises(InputError, match="no such frame"):
            choose_poses(finished, wrong, 25.0)


def test_a_sequence_is_a_numbered_file_for_each_frame(finished: FinishedAvatar, tmp_path: Path) -> None:
    poses = choose_poses(finished, ALL, 25.0)
    files = write_splats(tmp_path / "a.ply", finished, poses, "ply")
    assert [file.name for file in files] == [f"a_{number:06d}.ply" for number in poses.numbers]
    for file, pose in zip(files, poses, strict=True):
        torch.testing.assert_close(half_turn(read_ply(file)).means, finished.posed(pose).means)


def test_the_ending_says_what_is_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starts = {
        "a.ply": b"ply\n", "a.spz": b"\x1f\x8b", "a.SOG": b"PK", "a.glb": b"glTF", "a.obj": b"mtllib",
        "a.bvh": b"HIERARCHY", "a.trc": b"PathFileType", "a.mot": b"a\nversion", "a.csv": b"time,", "a.npz": b"PK",
    }  # fmt: skip
    for name, start in starts.items():
        assert main(["export", str(run), "--out", str(tmp_path / name), "--texture", "0"]) == 0
        assert (tmp_path / name).read_bytes().startswith(start), name
        assert f"({Path(name).suffix[1:].lower()})" in capsys.readouterr().out
    assert main(["export", str(run), "--to", "glb-splats", "--out", str(tmp_path / "b.glb")]) == 0
    assert b"KHR_gaussian_splatting" in (tmp_path / "b.glb").read_bytes()


@pytest.mark.parametrize("name", ["a.fbx", "a", "a.gltf", "a.splat"])
def test_an_ending_that_is_not_known_is_refused_with_those_that_are(
    name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--out", name]) == 2
    said = capsys.readouterr().err
    assert all(ending in said for ending in (".ply", ".sog", ".glb", ".bvh", ".c3d", ".usdz"))
    assert not list(tmp_path.iterdir())


def test_a_motion_of_a_run_says_how_fast_it_is(finished: FinishedAvatar, tmp_path: Path) -> None:
    write_motion(tmp_path / "a.npz", finished, choose_poses(finished, ALL, 25.0), "npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["fps"] == 25 and len(arrays["rotations"]) == len(finished.fit.frames)


def test_a_texture_without_its_session_says_where_to_give_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "--out", str(tmp_path / "a.glb")]) == 2
    said = capsys.readouterr().err
    assert "session" in said and "--texture 0" in said
    assert not list(tmp_path.iterdir())
