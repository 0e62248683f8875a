"""Commands that are stopped, and disks that fail under them: what is said is true, nothing half done is left, and the
next try is what an undisturbed one would have been.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.calibrate import files as calibrate_files
from simulacra.recon.export_session import writing
from simulacra.recon.importers import building, rgbd_rig
from simulacra.recon.importers.building import new_session_folder
from simulacra.recon.preflight import Check, Preflight
from simulacra.recon.runs.files import disk_errors
from simulacra.recon.session import load_session
from simulacra.recon.session.truth import TrueFrame, TrueView, write_true_frame, write_true_view
from simulacra.recon.session.video import write_video
from simulacra.render.body import load_body
from simulacra.render.export import ply
from simulacra.render.export.ply import write_ply
from simulacra.render.gaussians import Gaussians
from simulacra.render.runtime.errors import AssetError, UserError
from simulacra.tools.cli import main
from simulacra.tools.commands import check as check_command
from simulacra.tools.report import html_page
from simulacra.tools.virtual import capture
from simulacra.tools.virtual.files import PictureFiles, write_depth
from tests.recon.ellipsoid_person import synthetic_session, write_rgbd_rig
from tests.recon.failing_disk import KINDS, Dead, FailingDisk, Kind
from tests.recon.planted_run import planted_finished

SAID = Preflight((Check("frames", "a", 1.0, "levels", "< 2", "pass", "none", ""),), ("a note",))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture and a session."""
    root = tmp_path_factory.mktemp("sources")
    write_rgbd_rig(root / "capture", cameras=2, frames=("F1", "F2"))
    session = synthetic_session(root / "session", frames=2, size=64)
    cameras = [
        {
            **{"name": c.name, "width": 64, "height": 64, "distortion": [0.0] * 5},
            **{"K": c.K.tolist(), "viewmat": c.viewmat.tolist()},
        }
        for c in session.cameras
    ]
    calibration = {"schema": 1, "units": "metres", "posed": True, "cameras": cameras}
    (root / "calibration.json").write_text(json.dumps(calibration))
    return root


def snapshot(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def few_gaussians() -> Gaussians:
    seed = torch.Generator().manual_seed(0)
    sizes = ((3,), (4,), (3,), (), (1, 3))
    return Gaussians(*(torch.randn(200, *size, generator=seed) for size in sizes))


def pictures() -> Iterator[np.ndarray]:
    for level in range(3):
        yield np.full((32, 32, 3), level / 3, np.float32)


def export(out: Path) -> None:
    with disk_errors(out):  # as the command does
        write_ply(out, few_gaussians())


def write_capture(out: Path) -> None:
    """What `stage` writes with, without a person: pictures, a video, depth and truth."""
    seen = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    plane, points = np.ones((32, 32), np.float32), np.zeros((4, 3), np.float32)
    with new_session_folder(out) as folder:
        for kind in ("png", "h264"):
            with PictureFiles(folder / kind, kind, 30.0, 20, None) as files:  # type: ignore[arg-type]
                files.write("a", 0, seen, 0.0)
        write_depth(folder, "a", 0, plane)
        write_true_frame(folder, 0, TrueFrame(points, points, points, points, points[0], points[0]))
        write_true_view(
            folder, 0, "a", TrueView(plane, plane, np.ones((32, 32, 3), np.float32), plane[0] > 0)
        )


# What writes, and how many operations it takes at least.
WRITERS: dict[str, tuple[Callable[[Path, Path], object], int]] = {
    "import": (
        lambda src, out: main(
            ["import", "rgbd-rig", str(src / "capture"), str(out), "--depth-scale", "1000"]
        ),
        20,
    ),
    "export-session": (
        lambda src, out: main(["export-session", str(src / "session"), "--to", "nerfstudio", "--out", str(out)]),
        20,
    ),
    "calibrate": (
        lambda src, out: main(
            ["calibrate", "apply", str(src / "calibration.json"), str(src / "session"), str(out), "--force"]
        ),
        20,
    ),
    "export": (lambda _, out: export(out), 4),
    "animate": (lambda _, out: write_video(out, pictures(), 30.0), 4),
    "stage": (lambda _, out: write_capture(out), 20),
    "check": (lambda src, out: check_command.check(src / "session", out), 8),
}  # fmt: skip


def attempt(write: Callable[[Path, Path], object], sources: Path, out: Path) -> bool:
    """Whether it wrote; a named error is none that escapes."""
    try:
        return write(sources, out) in (None, 0)
    except (UserError, Dead):
        return False


# A kill is no Exception, which the writer of videos expects.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_fails_at_any_write_leaves_nothing_half_done(
    name: str, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of the operations, in one way each; with FAULTS=all in the environment each of them, in all ways."""
    monkeypatch.setattr(check_command, "_inspect", lambda *_: (SAID, None))
    write, least = WRITERS[name]
    whole = tmp_path / "whole" / "out"
    with FailingDisk(tmp_path) as counted:
        assert attempt(write, sources, whole)
    expected = whole.read_bytes() if whole.is_file() else snapshot(whole)
    assert len(counted.operations) >= least
    before = snapshot(sources)
    tried = 0
    every, count = os.environ.get("FAULTS") == "all", len(counted.operations)
    for number, at in enumerate(range(0, count, 1 if every else max(1, count // 12))):
        for kind in KINDS if every else (KINDS[number % len(KINDS)],):
            tried += 1
            _fail_and_try_again(write, sources, tmp_path / f"{at}_{kind}" / "out", at, kind, expected)
    assert snapshot(sources) == before
    print(name, len(counted.operations), "operations,", tried, "faults")


def _fail_and_try_again(
    write: Callable[[Path, Path], object], sources: Path, out: Path, at: int, kind: Kind, expected: object
) -> None:
    out.parent.mkdir()
    disk = FailingDisk(out.parent, at, kind)
    with disk:
        wrote = attempt(write, sources, out)
    where = f"{at}, {kind}: {disk.operations[at : at + 1]}"
    left = sorted(path.name for path in out.parent.iterdir())
    if wrote:  # what failed was of no matter
        assert content_of(out) == expected, where
    elif out.name in left and expected != content_of(out):
        # Of `check` one of two files may be there; each is whole.
        assert isinstance(expected, dict), where
        assert snapshot(out).items() <= expected.items() or kind in ("killed", "protected"), where
    if kind in ("full", "quota"):
        assert left in ([], ["out"]), where
    again = out if not (wrote or (out.exists() and content_of(out) == expected)) else out.with_name("other")
    assert attempt(write, sources, again), where
    assert content_of(again) == expected, where
    assert sorted(path.name for path in again.parent.glob(".*")) == [], where


def content_of(path: Path) -> object:
    return path.read_bytes() if path.is_file() else snapshot(path)


def test_what_another_process_still_makes_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    with new_session_folder(tmp_path / "out") as work:
        os.utime(work, (time.time() - 60,) * 2)
        building._remove_abandoned(tmp_path / "out", locked=True)
        assert work.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# -- signals ---------------------------------------------------------------------------------------


def stops(number: signal.Signals) -> Callable[..., None]:
    """In place of a function: a real signal to this process, in the middle of the command."""

    def stop(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)  # never waited for: the signal's handler runs first

    return stop


STOPPED = {
    "import": (rgbd_rig, "write_session", ["import", "rgbd-rig", "{src}/capture", "{out}", "--depth-scale", "1000"]),
    "export-session": (
        writing, "write_nerfstudio", ["export-session", "{src}/session", "--to", "nerfstudio", "--out", "{out}"]
    ),
    "calibrate": (
        calibrate_files, "load_session",
        ["calibrate", "apply", "{src}/calibration.json", "{src}/session", "{out}", "--force"],
    ),
    "stage": (capture, "build_studio", ["stage", "--out", "{out}"]),
    "check": (html_page, "sync", ["check", "{src}/session", "--out", "{out}"]),
    "export": (ply, "read_ply", ["export", "{src}/run", "--to", "ply", "--out", "{out}"]),
}  # fmt: skip


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", STOPPED)
def test_a_command_that_is_stopped_says_what_is_true(
    command: str,
    number: signal.Signals,
    status: int,
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check_command, "_inspect", lambda *_: (SAID, None))
    if command == "export":
        try:
            made = planted_finished(load_body())
        except AssetError as error:
            pytest.skip(str(error))
        monkeypatch.setattr("simulacra.recon.avatar.finished.open_avatar", lambda _: made)
        for mark in ("run.json", "avatar/stage.json"):
            (sources / "run" / mark).parent.mkdir(parents=True, exist_ok=True)
            (sources / "run" / mark).write_text("{}")
    module, function, words = STOPPED[command]
    words = [word.format(src=sources, out=tmp_path / "out") for word in words]
    with monkeypatch.context() as patch:
        patch.setattr(module, function, stops(number))
        assert main(words) == status
    assert "Nothing half done is left; the same command begins again" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))
    if command != "check":  # whose files are each whole
        assert not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if command != "stage":  # which would compute
        assert main(words) == 0
        assert (
            load_session(tmp_path / "out")
            if command in ("import", "calibrate")
            else (tmp_path / "out").exists()
        )
