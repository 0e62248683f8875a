"""The Panoptic Studio's files mean what its toolbox says of them; a camera that lacks something costs that camera."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.importers.panoptic import import_panoptic, looks_like
from simulacra.recon.importers.recorder_options import PanopticOptions
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import picture, ring, write_video
from tests.recon.importers.foreign_captures import HALF_PIXEL, assert_cameras_are
from tests.recon.importers.planted import pixel_of

# As published in the toolbox' issue 43: camera 00_00 of a sequence, and a neck of its README.
PUBLISHED = {
    "name": "00_00", "type": "hd", "resolution": [1920, 1080], "panel": 0, "node": 0,
    "K": [[1633.34, 0, 942.256], [0, 1628.84, 557.344], [0, 0, 1]],
    "distCoef": [-0.220878, 0.189272, 7.79405e-05, 0.000739643, 0.0418043],
    "R": [
        [0.1201471256, 0.03330941579, -0.9921971332],
        [-0.09157840245, 0.9955474156, 0.02233247834],
        [0.9885231734, 0.08818064529, 0.1226625834],
    ],
    "t": [[23.27031863], [126.5360495], [284.0106483]],
}  # fmt: skip
NECK = np.array([-19.4528, -146.612, 1.46159])
# The dome's world is ours turned by half a turn about x, in centimetres.
DOWN = np.diag([1.0, -1.0, -1.0])


def write_panoptic(folder: Path, frames: int = 2, video: bool = False) -> tuple[Any, list[dict[str, Any]]]:
    """Three cameras of the ring; gives them and what the calibration says of them."""
    made, entries = ring(3), []
    for number, camera in enumerate(made):
        name = f"00_{number:02d}"
        viewmat = camera.viewmat[:3, :3] @ DOWN
        entries.append(
            {
                "name": name, "type": "hd", "resolution": [camera.width, camera.height], "panel": 0, "node": number,
                "K": (camera.K - HALF_PIXEL).tolist(), "distCoef": [0.0] * 5, "R": viewmat.tolist(),
                "t": (100 * camera.viewmat[:3, 3:]).tolist(),
            }
        )  # fmt: skip
        shots = [picture(camera, frame)[0] for frame in range(frames)]
        if video:
            write_video(folder / f"hdVideos/hd_{name}.mp4", shots)
        for frame, shot in enumerate([] if video else shots):
            write_image(folder / f"hdImgs/{name}/{name}_{frame + 40:08d}.png", shot)
    write_calibration(folder, entries)
    return made, entries


def write_calibration(folder: Path, entries: list[dict[str, Any]]) -> None:
    text = json.dumps({"calibDataSource": "170404", "cameras": entries})
    (folder / "calibration_170404_test.json").write_text(text, "utf-8")


@pytest.mark.parametrize("video", [False, True])
def test_cameras_come_back(tmp_path: Path, video: bool) -> None:
    truth, _ = write_panoptic(tmp_path / "src", video=video)
    session = import_panoptic(tmp_path / "src", tmp_path / "s", PanopticOptions())
    assert session.camera_names == ("00_00", "00_01", "00_02") and len(session.frames) == 2
    assert_cameras_are(session.cameras, truth)
    assert "hdVideos" in (looks_like(tmp_path / "src") or "") if video else looks_like(tmp_path / "src")


def test_pictures_have_the_rate_of_the_dome(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "src")
    session = import_panoptic(tmp_path / "src", tmp_path / "s", PanopticOptions())
    assert session.frames[1].sources["00_01"].time == pytest.approx(1001 / 30000)


def test_a_published_joint_lands_where_the_toolbox_puts_it(tmp_path: Path) -> None:
    """The formula of the toolbox' panutils.py, in its own pixels, whose first centre is at (0, 0)."""
    write_calibration(tmp_path, [PUBLISHED])
    write_image(tmp_path / "hdImgs/00_00/00_00_00000000.png", np.zeros((1080, 1920, 3), np.float32))
    x, y, z = np.array(PUBLISHED["R"]) @ NECK + np.ravel(PUBLISHED["t"])
    x, y = x / z, y / z
    k1, k2, p1, p2, k3 = PUBLISHED["distCoef"]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = radial * x + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = radial * y + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
    theirs = np.array([1633.34 * u + 942.256, 1628.84 * v + 557.344])
    session = import_panoptic(tmp_path, tmp_path / "s", PanopticOptions())
    np.testing.assert_allclose(pixel_of(session, "00_00", NECK), theirs + 0.5, atol=1e-6)
    assert 0 < theirs[0] < 1920 and 0 < theirs[1] < 1080
    # The neck of somebody who stands is that high over the floor, in metres.
    height = (np.array(session.about["T_world_source"]) @ np.append(NECK, 1))[1]
    assert height == pytest.approx(1.46612)


SPOIL: dict[str, Callable[[dict[str, Any]], Any]] = {
    "K": lambda entry: entry.pop("K"),
    "t": lambda entry: entry.update(t=[[1], [2, 3], {}]),
    "distCoef": lambda entry: entry.update(distCoef=[0.1, 0.1]),
    "mirrored": lambda entry: entry.update(R=(-np.array(entry["R"])).tolist()),
    "size": lambda entry: entry.update(resolution=[640, 480]),
}


@pytest.mark.parametrize("what", SPOIL)
def test_a_fault_of_one_camera_costs_that_camera(tmp_path: Path, what: str) -> None:
    truth, entries = write_panoptic(tmp_path / "src", frames=1)
    SPOIL[what](entries[1])
    write_calibration(tmp_path / "src", entries)
    session = import_panoptic(tmp_path / "src", tmp_path / "s", PanopticOptions())
    assert session.camera_names == ("00_00", "00_02")
    assert_cameras_are(session.cameras, (truth[0], truth[2]))
    assert any("00_01 is left out" in note for note in session.notes)
    for entry in (entries[0], entries[2]):
        SPOIL[what](entry)
    write_calibration(tmp_path / "src", entries)
    with pytest.raises(CalibrationError):
        import_panoptic(tmp_path / "src", tmp_path / "t", PanopticOptions())


def test_what_has_no_partner_is_counted(tmp_path: Path) -> None:
    _, entries = write_panoptic(tmp_path / "src", frames=1)
    (tmp_path / "src/hdImgs/00_02").rename(tmp_path / "src/hdImgs/00_09")
    vga = {**entries[0], "name": "01_01", "type": "vga"}
    write_calibration(tmp_path / "src", [*entries, vga, {**vga, "name": "01_02"}])
    session = import_panoptic(tmp_path / "src", tmp_path / "s", PanopticOptions())
    said = " ".join(session.notes)
    for part in (
        "1 calibrated cameras have no recording: 00_02",
        "1 recordings have no calibration: 00_09",
        "2 vga",
    ):
        assert part in said
    with pytest.raises(InputError, match="no recordings"):
        import_panoptic(tmp_path / "src", tmp_path / "t", PanopticOptions(cameras="vga"))
    (tmp_path / "src/calibration_other.json").write_text("{}")
    with pytest.raises(InputError, match="one calibration"):
        import_panoptic(tmp_path / "src", tmp_path / "t", PanopticOptions())


def test_other_folders_are_not_taken_for_it(tmp_path: Path) -> None:
    assert looks_like(tmp_path) is None
    (tmp_path / "hdImgs").mkdir()
    assert looks_like(tmp_path) is None
