"""Qualisys captures: the lens, the window of the sensor, and which video belongs to which camera."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.importers.options import QualisysOptions
from simulacra.recon.importers.qualisys import import_qualisys
from simulacra.recon.session import Lens
from simulacra.render.runtime.errors import InputError
from tests.recon.ellipsoid_person import SIZE, picture, ring, write_qualisys


def edit(source: Path, before: str, after: str) -> None:
    path = source / "calibration/Calib.qca.txt"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_lens_is_kept_and_taken_out_as_opencv_does(tmp_path: Path) -> None:
    """Coefficients are those of normalised coordinates, not 1/64 of them: the demo's chessboards say so too."""
    source = tmp_path / "source"
    write_qualisys(source, cameras=1)
    for name, values in {"radial": (-0.6, 0.3), "tangental": (0.03, -0.05)}.items():
        for order in (0, 1):
            edit(source, f'{name}Distortion{order + 1}="0"', f'{name}Distortion{order + 1}="{values[order]}"')
    session = import_qualisys(source, tmp_path / "session", QualisysOptions())
    assert session.cameras[0].lens == Lens("opencv", (-0.6, 0.3, 0.03, -0.05, 0.0))
    camera = ring(1)[0]
    K = camera.K.copy()
    K[:2, 2] -= 0.5  # OpenCV's first pixel centre is at 0
    expected = cv2.undistort(picture(camera)[0], K, np.array([-0.6, 0.3, 0.03, -0.05, 0.0]))
    read = session.image(0, "cam0")
    left, without = (float(np.abs(read - image).mean()) for image in (expected, picture(camera)[0]))
    # What is left is the video's coding of edges.
    assert left < 0.01 and without > 3 * left


def test_a_window_of_the_sensor_moves_the_principal_point(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (planted,) = write_qualisys(source, cameras=1)
    edit(source, 'left="0" top="0"', 'left="10" top="20"')
    edit(source, f'right="{SIZE - 1}" bottom="{SIZE - 1}"', f'right="{SIZE + 9}" bottom="{SIZE + 19}"')
    (camera,) = import_qualisys(source, tmp_path / "session", QualisysOptions()).cameras
    np.testing.assert_allclose(planted.K[:2, 2] - camera.K[:2, 2], [10, 20], atol=1e-9)


def test_a_video_is_found_by_a_serial_in_its_name(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_qualisys(source, cameras=2)
    (source / "videos/cam1.mp4").rename(source / "videos/walk_Miqus_cam1.mp4")
    assert import_qualisys(source, tmp_path / "session", QualisysOptions()).camera_names == ("cam0", "cam1")
    (source / "videos/cam1_again.mp4").write_bytes((source / "videos/cam0.mp4").read_bytes())
    with pytest.raises(InputError, match="cam1 has more than one file"):
        import_qualisys(source, tmp_path / "second", QualisysOptions())


def test_what_does_not_belong_together_is_left_out_and_said(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_qualisys(source, cameras=3)
    (source / "videos/cam2.mp4").rename(source / "videos/phone.mp4")
    session = import_qualisys(source, tmp_path / "session", QualisysOptions())
    assert session.camera_names == ("cam0", "cam1")
    said = " ".join(session.notes)
    assert "cam2 is calibrated and has no video" in said and "phone.mp4 has no calibration" in said


def test_videos_are_not_encoded_again(tmp_path: Path) -> None:
    write_qualisys(tmp_path / "source", cameras=2)
    session = import_qualisys(tmp_path / "source", tmp_path / "session", QualisysOptions())
    for name in session.camera_names:
        before = (tmp_path / f"source/videos/{name}.mp4").read_bytes()
        assert session.path(f"videos/{name}.mp4").read_bytes() == before
