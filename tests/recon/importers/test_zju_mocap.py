"""annots.npy means what Neural Body reads out of it; what a camera lacks costs that camera; nothing in it is run."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.recon.importers.recorder_options import ZjuMocapOptions
from simulacra.recon.importers.zju_mocap import import_zju_mocap, looks_like
from simulacra.recon.session import SessionCamera
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.ellipsoid_person import frame_number, picture, ring, write_param
from tests.recon.importers.foreign_captures import HALF_PIXEL, assert_cameras_are, z_up
from tests.recon.importers.planted import pixel_of

NAMES = ("Camera_B1", "Camera_B2", "Camera_B10")
PARTS = 13  # a label of the person's parts


def write_zju(folder: Path, frames: int = 2) -> tuple[tuple[SessionCamera, ...], dict[str, Any]]:
    """annots.npy of a z-up world in millimetres, pictures and masks; the cameras in our world."""
    made = ring(3)
    cams: dict[str, list[Any]] = {"K": [], "D": [], "R": [], "T": []}
    for name, camera in zip(NAMES, made):
        viewmat = z_up(camera)
        cams["K"].append(camera.K - HALF_PIXEL)
        cams["D"].append(np.zeros((5, 1)))
        cams["R"].append(viewmat[:3, :3])
        cams["T"].append(1000 * viewmat[:3, 3:])
        for frame in range(frames):
            image, mask, _ = picture(camera, frame)
            write_image(folder / f"{name}/{frame:06d}.png", image)
            write_image(folder / f"mask_cihp/{name}/{frame:06d}.png", mask * PARTS / 255)
    ims = [{"ims": np.array([f"{name}/{frame:06d}.png" for name in NAMES])} for frame in range(frames)]
    annots = {"cams": cams, "ims": ims}
    write_param(folder / "annots.npy", annots)
    return made, annots


def test_cameras_pictures_and_masks_come_back(tmp_path: Path) -> None:
    truth, _ = write_zju(tmp_path / "src")
    session = import_zju_mocap(tmp_path / "src", tmp_path / "s", ZjuMocapOptions())
    assert session.camera_names == NAMES and session.frame_indices == (0, 1)
    assert_cameras_are(session.cameras, truth, atol=1e-6)
    assert [frame_number(session.image(k, "Camera_B10")) for k in (0, 1)] == [0, 1]
    mask = session.mask(1, "Camera_B2")
    assert mask is not None
    np.testing.assert_array_equal(mask, picture(truth[1], 1)[1])
    assert looks_like(tmp_path / "src") == "annots.npy" and looks_like(tmp_path) is None


def test_a_point_lands_where_neural_body_puts_it(tmp_path: Path) -> None:
    _, annots = write_zju(tmp_path / "src", frames=1)
    cams = annots["cams"]
    cams["D"][1] = np.array([[-0.2], [0.05], [0.001], [-0.002], [0.01]])
    write_param(tmp_path / "src/annots.npy", annots)
    point = np.array([180.0, -40.0, 1310.0])
    x, y, z = cams["R"][1] @ point + cams["T"][1].ravel()
    x, y = x / z, y / z
    k1, k2, p1, p2, k3 = cams["D"][1].ravel()
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    seen = [
        radial * x + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), radial * y + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    ]  # fmt: skip
    theirs = cams["K"][1] @ [*seen, 1]
    session = import_zju_mocap(tmp_path / "src", tmp_path / "s", ZjuMocapOptions())
    np.testing.assert_allclose(pixel_of(session, "Camera_B2", point), theirs[:2] + 0.5, atol=1e-6)
    in_metres = import_zju_mocap(tmp_path / "src", tmp_path / "m", ZjuMocapOptions(units="m"))
    assert np.abs(in_metres.cameras[1].viewmat[:3, 3]).max() > 100


SPOIL: dict[str, Callable[[Any], Any]] = {
    "K": lambda cams: cams["K"].__setitem__(1, np.eye(4)),
    "T": lambda cams: cams["T"].__setitem__(1, "no"),
    "R": lambda cams: cams["R"].__setitem__(1, np.full((3, 3), np.nan)),
    "D": lambda cams: cams["D"].__setitem__(1, np.zeros(3)),
}


@pytest.mark.parametrize("what", SPOIL)
def test_a_fault_of_one_camera_costs_that_camera(tmp_path: Path, what: str) -> None:
    truth, annots = write_zju(tmp_path / "src", frames=1)
    SPOIL[what](annots["cams"])
    write_param(tmp_path / "src/annots.npy", annots)
    session = import_zju_mocap(tmp_path / "src", tmp_path / "s", ZjuMocapOptions(world_up="+z"))
    assert session.camera_names == ("Camera_B1", "Camera_B10")
    assert_cameras_are(session.cameras, (truth[0], truth[2]))
    assert any("Camera_B2 is left out" in note for note in session.notes)


def test_pictures_that_are_not_there_are_counted(tmp_path: Path) -> None:
    _, annots = write_zju(tmp_path / "src")
    (tmp_path / "src/Camera_B1/000001.png").unlink()
    (tmp_path / "src/Camera_B2").rename(tmp_path / "src/other")
    annots["ims"][1]["ims"] = annots["ims"][1]["ims"][:2]
    write_param(tmp_path / "src/annots.npy", annots)
    session = import_zju_mocap(tmp_path / "src", tmp_path / "s", ZjuMocapOptions(world_up="+z"))
    said = " ".join(session.notes)
    assert "Camera_B1: 1 of 2 pictures are not there" in said and "1 moments list fewer or more" in said
    assert "1 calibrated cameras have no picture: Camera_B2" in said


def test_lists_of_different_lengths_are_named(tmp_path: Path) -> None:
    _, annots = write_zju(tmp_path / "src", frames=1)
    annots["cams"]["R"].pop()
    write_param(tmp_path / "src/annots.npy", annots)
    with pytest.raises(CalibrationError, match="one length"):
        import_zju_mocap(tmp_path / "src", tmp_path / "s", ZjuMocapOptions())
    write_param(
        tmp_path / "src/annots.npy",
        {**annots, "ims": 7, "cams": {**annots["cams"], "R": annots["cams"]["K"]}},
    )
    with pytest.raises(InputError, match="no pictures"):
        import_zju_mocap(tmp_path / "src", tmp_path / "s", ZjuMocapOptions())


class _Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it was run')",)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_plain_pickles_of_every_protocol_are_read_and_not_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "camera.pickle"
    value = {
        "K": np.arange(6.0).reshape(2, 3),
        "F": np.asfortranarray(np.eye(3)[:2]),
        "n": np.array(["a", "bc"]),
    }
    path.write_bytes(pickle.dumps(value, protocol))
    found = read_pickled_arrays(path)
    for key in value:
        np.testing.assert_array_equal(found[key], value[key])
    path.write_bytes(pickle.dumps({**value, "x": _Attack()}, protocol))
    with pytest.raises(InputError, match="is not an array"):
        read_pickled_arrays(path)


def test_a_program_of_many_instructions_is_not_run(tmp_path: Path) -> None:
    """A megabyte of empty lists would be 56 MB of them; one list that is held many times counts as often."""
    path = tmp_path / "camera.pickle"
    path.write_bytes(b"\x80\x02" + b"]0" * 300_000 + b"}.")
    with pytest.raises(InputError, match="instructions"):
        read_pickled_arrays(path, most_bytes=1 << 20)
    part: Any = [1.0] * 10
    for _ in range(7):
        part = [part] * 10
    path.write_bytes(pickle.dumps({"x": part}))
    with pytest.raises(InputError, match="too large"):
        read_pickled_arrays(path)
