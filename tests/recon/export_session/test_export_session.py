"""What goes out to COLMAP and nerfstudio comes back as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulacra.recon.export_session import export_session
from simulacra.recon.importers.colmap import import_colmap
from simulacra.recon.importers.nerfstudio import import_nerfstudio
from simulacra.recon.importers.options import ColmapOptions, NerfstudioOptions
from simulacra.recon.session import SESSION_FILE, Lens, Session, load_session
from simulacra.render.runtime.errors import CaptureError, InputError, RunError
from tests.recon.ellipsoid_person import synthetic_session
from tests.recon.importers.foreign_captures import assert_cameras_are

LENS = {"lens_model": "opencv", "distortion": [-0.2, 0.05, 0.002, -0.001]}


def back(program: str, folder: Path, session: Path, frames: int = 1) -> Session:
    if program == "nerfstudio":
        return import_nerfstudio(folder, session, NerfstudioOptions(scale=1.0, world_up="+z"))
    return import_colmap(folder, session, ColmapOptions(scale=1.0, world_up="+y", layout="cameras"))


def with_lens(session: Session, edit: dict[str, Any] = LENS) -> Session:
    path = session.root / SESSION_FILE
    described = json.loads(path.read_text())
    for camera in described["cameras"]:
        camera.update(edit)
    path.write_text(json.dumps(described))
    return load_session(session.root)


def same_bytes(a: Session, b: Session, part: str, frames: int) -> bool:
    names = [f"{part}/{camera}/{k:06d}.png" for camera in a.camera_names for k in range(frames)]
    return all((a.root / name).read_bytes() == (b.root / name).read_bytes() for name in names)


@pytest.mark.parametrize("program", ["colmap", "nerfstudio"])
def test_a_session_of_images_comes_back_to_the_byte(tmp_path: Path, program: str) -> None:
    session = synthetic_session(tmp_path / "session", cameras=3, frames=2)
    written = export_session(session, program, tmp_path / "out")  # type: ignore[arg-type]
    assert len(written) == 6
    again = back(program, tmp_path / "out", tmp_path / "again")
    assert again.camera_names == session.camera_names and again.frame_indices == session.frame_indices
    assert_cameras_are(again.cameras, session.cameras)
    assert all(camera.lens is None for camera in again.cameras)
    assert same_bytes(session, again, "images", 2) and same_bytes(session, again, "masks", 2)
    if program == "nerfstudio":
        assert same_bytes(session, again, "depth", 2)
        assert again.cameras[0].depth_scale == session.cameras[0].depth_scale
    # Nothing that another program does to its folder is done to the session.
    out, here = tmp_path / "out/images/0/000000.png", session.root / "images/0/000000.png"
    assert out.stat().st_ino != here.stat().st_ino and not out.is_symlink()


@pytest.mark.parametrize(("program", "atol"), [("colmap", 2e-4), ("nerfstudio", 1e-9)])
def test_rotations_of_few_digits(tmp_path: Path, program: str, atol: float) -> None:
    """COLMAP has quaternions, which are rotations to the last digit; nerfstudio's matrices come back as they were."""
    session = synthetic_session(tmp_path / "session", cameras=2)
    path = session.root / SESSION_FILE
    described = json.loads(path.read_text())
    for camera in described["cameras"]:
        camera["viewmat"] = np.array(camera["viewmat"]).round(4).tolist()
    path.write_text(json.dumps(described))
    session = load_session(session.root)
    export_session(session, program, tmp_path / "out")  # type: ignore[arg-type]
    assert_cameras_are(back(program, tmp_path / "out", tmp_path / "again").cameras, session.cameras, atol)


@pytest.mark.parametrize("program", ["colmap", "nerfstudio"])
def test_videos_come_back_frame_by_frame(tmp_path: Path, program: str) -> None:
    session = synthetic_session(tmp_path / "session", cameras=2, frames=4, video=True, depth=False)
    export_session(session, program, tmp_path / "out")  # type: ignore[arg-type]
    again = back(program, tmp_path / "out", tmp_path / "again", frames=4)
    assert_cameras_are(again.cameras, session.cameras)
    for k in (3, 0):
        np.testing.assert_array_equal(again.image(k, "1"), session.image(k, "1"))


@pytest.mark.parametrize("program", ["colmap", "nerfstudio"])
def test_a_lens_is_taken_out(tmp_path: Path, program: str) -> None:
    session = with_lens(synthetic_session(tmp_path / "session", cameras=2))
    export_session(session, program, tmp_path / "out")  # type: ignore[arg-type]
    again = back(program, tmp_path / "out", tmp_path / "again")
    assert_cameras_are(again.cameras, session.cameras)
    assert again.cameras[0].lens is None
    assert np.abs(again.image(0, "1") - session.image(0, "1")).max() <= 0.5 / 255 + 1e-6
    mine, theirs = again.mask(0, "1"), session.mask(0, "1")
    assert mine is not None and theirs is not None and np.abs(mine - theirs).max() <= 0.5 / 255 + 1e-6
    if program == "nerfstudio":
        here, there = again.depth(0, "1"), session.depth(0, "1")
        assert here is not None and there is not None
        np.testing.assert_array_equal(here[0], there[0])


@pytest.mark.parametrize("program", ["colmap", "nerfstudio"])
@pytest.mark.parametrize(
    "lens",
    [
        Lens("opencv", (-0.2, 0.05, 0.002, -0.001)),
        Lens("opencv", (-0.2, 0.05, 0.002, -0.001, 0.01)),
        Lens("opencv_fisheye", (0.02, -0.01, 0.003, 0.001)),
    ],
)
def test_or_it_is_kept(tmp_path: Path, program: str, lens: Lens) -> None:
    edit = {"lens_model": lens.model, "distortion": list(lens.coefficients)}
    session = with_lens(synthetic_session(tmp_path / "session", cameras=2), edit)
    export_session(session, program, tmp_path / "out", distorted=True)  # type: ignore[arg-type]
    again = back(program, tmp_path / "out", tmp_path / "again")
    assert_cameras_are(again.cameras, session.cameras)
    found = again.cameras[0].lens
    assert found is not None and found.model == lens.model
    values = found.coefficients
    assert values[: len(lens.coefficients)] == lens.coefficients and not any(values[len(lens.coefficients) :])
    assert same_bytes(session, again, "images", 1) and same_bytes(session, again, "masks", 1)


@pytest.mark.parametrize(
    ("program", "lens"),
    [
        ("colmap", Lens("brown", (0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01))),
        ("nerfstudio", Lens("fov", (0.9,))),
        ("nerfstudio", Lens("opencv", (0.1, 0.0, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0))),
    ],
)
def test_a_lens_that_it_has_no_model_for_is_refused(tmp_path: Path, program: str, lens: Lens) -> None:
    edit = {"lens_model": lens.model, "distortion": list(lens.coefficients)}
    session = with_lens(synthetic_session(tmp_path / "session", cameras=1), edit)
    with pytest.raises(CaptureError, match="no model"):
        export_session(session, program, tmp_path / "out", distorted=True)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    export_session(session, program, tmp_path / "out")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("thin_prism_fisheye", (0.03, -0.01, 0.002, -0.003, 0.004, -0.0007, 0.001, -0.002)),
        (
            "rad_tan_thin_prism_fisheye",
            (0.03, -0.01, 0.004, 0, 0, 0, 0.002, -0.003, 0.001, -0.002, 0.0015, 0.0005),
        ),
        ("fov", (0.9,)),
        ("division", (-0.1,)),
        ("eucm", (0.5, 1.1)),
        ("opencv", (0.1, 0.0, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0)),
    ],
)
def test_colmap_has_more_models(tmp_path: Path, model: str, values: tuple[float, ...]) -> None:
    edit = {"lens_model": model, "distortion": list(values)}
    session = with_lens(synthetic_session(tmp_path / "session", cameras=1), edit)
    export_session(session, "colmap", tmp_path / "out", distorted=True)
    again = back("colmap", tmp_path / "out", tmp_path / "again")
    assert again.cameras[0].lens == session.cameras[0].lens


def test_two_camera_models_are_not_nerfstudios(tmp_path: Path) -> None:
    session = synthetic_session(tmp_path / "session", cameras=2)
    path = session.root / SESSION_FILE
    described = json.loads(path.read_text())
    described["cameras"][1].update(lens_model="opencv_fisheye", distortion=[0.0, 0.1, 0.0, 0.0])
    path.write_text(json.dumps(described))
    with pytest.raises(CaptureError, match="one camera model"):
        export_session(load_session(session.root), "nerfstudio", tmp_path / "out", distorted=True)


@pytest.mark.parametrize("program", ["colmap", "nerfstudio"])
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda root: (root / "images/1/000000.png").write_text("x"), InputError),
        (lambda root: (root / "masks/1/000000.png").write_text("x"), InputError),
        (lambda root: (root.parent / "out").write_text("x"), RunError),
    ],
)
def test_a_failed_export_leaves_nothing(
    tmp_path: Path, program: str, spoil: Callable[[Path], object], error: type[Exception]
) -> None:
    session = synthetic_session(tmp_path / "session", cameras=2)
    spoil(session.root)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(error):
        export_session(session, program, tmp_path / "out")  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("program", ["colmap", "nerfstudio"])
@pytest.mark.parametrize("part", ["images", "masks", "depth"])
def test_nothing_from_outside_of_the_session_goes_out(tmp_path: Path, program: str, part: str) -> None:
    """A link in the session that leads to somebody's file, which is a picture of the right kind and size."""
    if (program, part) == ("colmap", "depth"):
        return  # COLMAP gets no depth
    session = synthetic_session(tmp_path / "session", cameras=2)
    path = session.root / f"{part}/1/000000.png"
    path.rename(tmp_path / "secret.png")
    path.symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="outside"):
        export_session(load_session(session.root), program, tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
