"""Cameras of a scene that our own rasterizer drew come back up to a similarity, twice the same."""

from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.importers.images import import_images
from simulacra.recon.importers.options import ImagesOptions
from simulacra.recon.importers.structure_from_motion import structure_from_motion
from simulacra.recon.session import Session, SessionCamera
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CaptureError
from tests.recon.importers.turn_around import FOCAL, around, draw, similarity

pytest.importorskip("pycolmap", reason="cameras out of pictures need pycolmap: pip install 'simulacra[sfm]'")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[SessionCamera, ...]]:
    folder = tmp_path_factory.mktemp("scene")
    cameras = around(8, 70.0)
    for camera, image in zip(cameras, draw(cameras)):
        write_image(folder / f"{camera.name}.png", image)
    return folder, cameras


def centres(cameras: tuple[SessionCamera, ...]) -> np.ndarray:
    return np.array([-camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3] for camera in cameras])


def imported(folder: Path, session: Path) -> Session:
    return import_images(folder, session, ImagesOptions(still_person=True, metres_per_unit=1.0))


def test_known_cameras_come_back(scene: tuple[Path, tuple[SessionCamera, ...]], tmp_path: Path) -> None:
    folder, cameras = scene
    session = imported(folder, tmp_path / "first")
    assert len(session.cameras) == len(cameras)
    K = session.cameras[0].K
    assert K[0, 0] == pytest.approx(FOCAL, rel=0.02)
    assert (K[0, 2], K[1, 2]) == (200.0, 150.0), "the middle, where pixel centres are at a half"
    found = centres(session.cameras)
    scale, R, t = similarity(found, centres(cameras))
    error = np.linalg.norm(scale * found @ R.T + t - centres(cameras), axis=1)
    assert error.max() < 0.02, "of 2.4 m to the scene"
    for camera, truth in zip(session.cameras, cameras):
        turn = camera.viewmat[:3, :3] @ R.T @ truth.viewmat[:3, :3].T
        assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 0.5
    # Up is measured from the horizons of cameras that were level: the true world's +Y.
    assert np.degrees(np.arccos(np.clip((R @ [0, 1, 0])[1], -1, 1))) < 1.0
    # The control: with two cameras in each other's place no similarity fits.
    swapped = found[[1, 0, *range(2, len(found))]]
    scale, R, t = similarity(swapped, centres(cameras))
    assert np.linalg.norm(scale * swapped @ R.T + t - centres(cameras), axis=1).max() > 0.2
    again = imported(folder, tmp_path / "second")
    first, second = ((tmp_path / name / "session.json").read_bytes() for name in ("first", "second"))
    assert first == second and again.notes == session.notes


def test_pictures_of_nothing_in_common_are_an_error_with_reasons(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        write_image(tmp_path / f"src/{number}.png", rng.random((60, 80, 3)).astype(np.float32))
    (tmp_path / "work").mkdir()
    names = [f"{number}.png" for number in range(3)]
    with pytest.raises(CaptureError, match="no cameras can be reconstructed") as caught:
        structure_from_motion(
            tmp_path / "src",
            names,
            tmp_path / "work",
            where="here",
            shared=True,
            model="SIMPLE_RADIAL",
            focal=70.0,
            size=(80, 60),
        )
    assert "1. " in str(caught.value) and "features" in str(caught.value)
