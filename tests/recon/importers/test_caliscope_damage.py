"""Damaged Caliscope recordings end in a named error and leave nothing behind."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.importers.caliscope import import_caliscope, read_camera_array, read_timestamps
from simulacra.recon.importers.options import CaliscopeOptions
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import frame_number, write_caliscope

RECORDING = Path("calibration/extrinsic")


def _table(src: Path) -> Path:
    return src / "camera_array.toml"


def _stamps(src: Path) -> Path:
    return src / RECORDING / "timestamps.csv"


def _change_rows(src: Path, change: Callable[[list[list[str]]], object]) -> None:
    rows = list(csv.reader(_stamps(src).read_text().splitlines()))
    change(rows)
    _stamps(src).write_text("\n".join(",".join(row) for row in rows) + "\n")


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _line(path: Path, start: str, new: str) -> None:
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(start))
    lines[at] = new
    path.write_text("\n".join(lines))


BAD: dict[str, tuple[type[Exception], Callable[[Path], object]]] = {
    "no calibration": (InputError, lambda src: _table(src).unlink()),
    "not TOML": (InputError, lambda src: _table(src).write_text("[cameras")),
    "not text": (InputError, lambda src: _table(src).write_bytes(b"\xff\xfe")),
    "no camera": (InputError, lambda src: _table(src).write_text("title = 1")),
    "all ignored": (
        InputError,
        lambda src: _table(src).write_text(_table(src).read_text().replace("false", "true")),
    ),
    "no matrix": (
        InputError,
        lambda src: _table(src).write_text(_table(src).read_text().replace("matrix", "matrices")),
    ),
    "K singular": (
        CalibrationError,
        lambda src: _line(_table(src), "matrix", "matrix = [[96.0, 0, 48], [0, 0, 48], [0, 0, 1]]"),
    ),
    "K a word": (CalibrationError, lambda src: _line(_table(src), "matrix", 'matrix = "none"')),
    "rotation scaled": (
        CalibrationError,
        lambda src: _line(_table(src), "rotation =", "rotation = [[2, 0, 0], [0, 2, 0], [0, 0, 2]]"),
    ),
    "another image size": (CalibrationError, lambda src: _line(_table(src), "size", "size = [128, 96]")),
    "no recording": (InputError, lambda src: _stamps(src).unlink()),
    "timestamps of other columns": (InputError, lambda src: _stamps(src).write_text("time,camera\n1,2\n")),
    "timestamps empty": (InputError, lambda src: _stamps(src).write_text("")),
    "timestamps of words": (
        InputError,
        lambda src: _change_rows(src, lambda rows: rows[3].__setitem__(3, "soon")),
    ),
    "a short row": (InputError, lambda src: _change_rows(src, lambda rows: rows[3].pop())),
    "two frames of one moment": (
        InputError,
        lambda src: _change_rows(src, lambda rows: rows.append(rows[1])),
    ),
    "a row too few": (InputError, lambda src: _change_rows(src, lambda rows: rows.pop())),
    "no video": (InputError, lambda src: [path.unlink() for path in (src / RECORDING).glob("*.mp4")]),
    "video truncated": (InputError, lambda src: _cut(src / RECORDING / "cam_1.mp4")),
}


@pytest.mark.parametrize("harm", BAD)
def test_bad_recordings_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_caliscope(src, cameras=3, frames=4)
    (out / "earlier").mkdir(parents=True)
    expected, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected) as caught:
        import_caliscope(src, out / "session", CaliscopeOptions())
    assert "where" in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["earlier"]


def test_pictures_are_of_the_moments_that_timestamps_say(tmp_path: Path) -> None:
    """Frame k of a video is not moment k once its camera missed one."""
    write_caliscope(tmp_path / "src", frames=8, missing=[(1, 2), (1, 3), (2, 0)])
    session = import_caliscope(tmp_path / "src", tmp_path / "session", CaliscopeOptions())
    for name, missed in {"cam_0": (), "cam_1": (2, 3), "cam_2": (0,)}.items():
        there = [k for k in range(8) if session.has(k, name)]
        assert there == [k for k in range(8) if k not in missed]
        assert [frame_number(image) for image in session.iter_images(name, there)] == there
        assert [frame_number(session.image(k, name)) for k in there[::-3]] == there[::-3]
    assert "cam_1 missed 2 of 8 frames" in session.notes


@pytest.mark.parametrize("name", ["camera_array.toml", "timestamps.csv"])
def test_fuzzed_files_are_named_errors(tmp_path: Path, name: str) -> None:
    write_caliscope(tmp_path / "src", cameras=1, frames=3)
    path = _table(tmp_path / "src") if name == "camera_array.toml" else _stamps(tmp_path / "src")
    read: Callable[[Path], object] = read_camera_array if name == "camera_array.toml" else read_timestamps
    original, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(1500):
        content = bytearray(original[: rng.integers(1, len(original) + 1)])
        for at in rng.integers(0, len(content), rng.integers(0, 4)):
            content[at] = rng.integers(32, 128) if rng.random() < 0.8 else rng.integers(256)
        path.write_bytes(content)
        try:
            read(path)
        except InputError:
            refused += 1
    assert refused > 300


def test_what_a_camera_lacks_costs_that_camera(tmp_path: Path) -> None:
    write_caliscope(tmp_path, cameras=3, frames=4)
    _line(_table(tmp_path), "matrix", "gain = 3")
    (tmp_path / RECORDING / "cam_1.mp4").unlink()
    (tmp_path / RECORDING / "cam_2.mp4").rename(tmp_path / RECORDING / "Cam_2.MP4")
    session = import_caliscope(tmp_path, tmp_path / "s", CaliscopeOptions(world_up="+z"))
    assert session.camera_names == ("cam_2",)
    assert "cam_0 has no matrix: it is not calibrated, and left out" in session.notes
    assert "cam_1 is calibrated and has no video: left out" in session.notes
