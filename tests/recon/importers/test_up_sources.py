"""What files know of up beside the cameras: gravity of phones, a floor in depth; alone, contradicting, and ties."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulacra.recon.importers import standing
from simulacra.recon.importers.floor import find_floor, floor_vote
from simulacra.recon.importers.footage import Footage
from simulacra.recon.importers.gravity import gravity_vote, stored_down
from simulacra.recon.importers.placing import place
from simulacra.recon.multiview.up import rank_ups
from simulacra.recon.session import Frame, SessionCamera, Source
from simulacra.render.runtime.errors import CalibrationError
from tests.recon.importers.portrait_files import maker_note
from tests.recon.multiview.test_up import Z, apart, ring

SCALE = 1000.0
K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No person stands in these pictures."""
    monkeypatch.setattr(standing, "person_vote", lambda *_: None)


def rig(count: int = 6, roll: float = 90.0, elevation: float = 5.0) -> list[SessionCamera]:
    """A level ring of cameras on their sides, a metre high: which end of its axis is up is not in their poses."""
    return [
        SessionCamera(f"v{i}", 64, 48, K, viewmat, None, SCALE)
        for i, viewmat in enumerate(ring(count, roll, elevation=elevation))
    ]


def photograph(path: Path, gravity: tuple[float, float, float], orientation: int = 1) -> Path:
    """What a phone writes: pixels as the sensor has them, how they are shown, and the accelerometer."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    inner = exif.get_ifd(0x8769)
    inner[42036], inner[37500] = "iPhone 15 back camera 6.86mm f/1.78", maker_note(gravity)
    Image.new("RGB", (64, 48)).save(path, exif=exif.tobytes())
    return path


@pytest.mark.parametrize(
    ("orientation", "gravity", "down"),
    [
        # The sensor's pixels lie as a phone that is held with its top to the left has them.
        (1, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        (3, (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
        # Held upright: what is shown is stored turned, and down is to the stored picture's right.
        (6, (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
        (8, (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
        # Upright and looking down by 30 degrees: the screen looks up, down is half out of the back.
        (6, (0.0, -0.866, -0.5), (0.866, 0.0, 0.5)),
    ],
)
def test_gravity_in_the_axes_of_the_stored_picture(
    orientation: int, gravity: tuple[float, float, float], down: tuple[float, float, float], tmp_path: Path
) -> None:
    found = stored_down(photograph(tmp_path / "a.jpg", gravity, orientation))
    assert found is not None and np.allclose(found, down, atol=1e-3)


def test_a_phones_gravity_breaks_the_tie_of_a_ring_on_its_side(tmp_path: Path) -> None:
    cameras = rig()
    for sign in (1.0, -1.0):
        paths, sources = {}, {}
        for camera in cameras:
            x, y, _ = camera.viewmat[:3, :3] @ (-sign * Z)
            # Stored as if level; down lies to a side of it, and the orientation says how it is shown.
            orientation = 6 if x > 0.5 else 8
            path = photograph(
                tmp_path / f"{camera.name}.jpg", (0.0, -1.0 if x > 0.5 else 1.0, 0.0), orientation
            )
            assert abs(x) > 0.9 and abs(y) < 0.3
            paths[f"images/{camera.name}"], sources[camera.name] = path, Source(f"images/{camera.name}")
        footage = Footage({c.name: (64, 48) for c in cameras}, (Frame(0, sources),), paths)
        _, T, _ = place(cameras, scale=1.0, world_up="cameras", floor=0.0, footage=footage)
        # The ring looks down by 5 degrees and rolls by 2, of which these phones say nothing.
        assert apart(T[:3, :3] @ (sign * Z), np.array([0.0, 1.0, 0.0])) < 5
    with pytest.raises(CalibrationError, match="which axis"):
        place(cameras, scale=1.0, world_up="cameras", floor=0.0)


def test_phones_that_contradict_each_other_say_nothing() -> None:
    cameras = rig(4, 0.0)
    level = {camera.name: camera.viewmat[:3, :3] @ -Z for camera in cameras}
    vote = gravity_vote(cameras, level)
    assert vote is not None and apart(vote.direction, Z) < 1e-6 and 2 <= vote.error_deg < 2.5
    assert gravity_vote(cameras, level | {"v0": np.array([1.0, 0.0, 0.0])}) is None
    assert gravity_vote(cameras, {}) is None


def test_gravity_against_level_cameras_asks() -> None:
    cameras = rig(8, 0.0)
    aside = {camera.name: camera.viewmat[:3, :3] @ np.array([-1.0, 0.0, 0.0]) for camera in cameras}
    vote = gravity_vote(cameras, aside)
    assert vote is not None and apart(vote.direction, np.array([1.0, 0.0, 0.0])) < 1e-6
    with pytest.raises(CalibrationError, match="contradicts itself"):
        place(cameras, scale=1.0, world_up="cameras", floor=0.0, votes=[vote])


def with_depth(folder: Path, cameras: list[SessionCamera], planes: list[tuple[np.ndarray, float]]) -> Footage:
    """Depth of planes (normal towards the cameras, height along it), the nearest that each ray meets."""
    files, sources = {}, {}
    rows, columns = np.mgrid[0:48, 0:64]
    rays = np.stack([(columns + 0.5 - 32) / 60, (rows + 0.5 - 24) / 60, np.ones((48, 64))], -1)
    for camera in cameras:
        R, t = camera.viewmat[:3, :3], camera.viewmat[:3, 3]
        eye, ways = -R.T @ t, rays @ R
        depth = np.full((48, 64), np.inf)
        for normal, height in planes:
            along = ways @ normal
            z = (height - eye @ normal) / np.where(np.abs(along) < 1e-9, np.nan, along)
            depth = np.where((z > 0) & (z < depth), z, depth)
        stored = np.where(depth < 8, depth * SCALE, 0).astype(np.uint16)
        path = folder / f"{camera.name}.png"
        Image.fromarray(stored).save(path)
        files[f"depth/{camera.name}/000000.png"], sources[camera.name] = path, Source(f"images/{camera.name}")
        files[f"images/{camera.name}"] = path
    return Footage({c.name: (64, 48) for c in cameras}, (Frame(0, sources),), files)


def test_a_floor_in_depth_breaks_the_tie_and_gives_its_own_level(tmp_path: Path) -> None:
    cameras = rig(elevation=0.0)
    for up in (Z, -Z):
        # A metre from the cameras' height; the other end has nothing within sight.
        footage = with_depth(tmp_path, cameras, [(up, 0.0 if up is Z else -2.0)])
        _, T, said = place(cameras, scale=1.0, world_up="cameras", floor=0.0, footage=footage)
        assert apart(T[:3, :3] @ up, np.array([0.0, 1.0, 0.0])) < 3
        assert said[0].endswith("the floor in depth says so")


def test_a_floor_and_a_ceiling_leave_the_tie(tmp_path: Path) -> None:
    cameras = rig()
    footage = with_depth(tmp_path, cameras, [(Z, 0.0), (-Z, -2.0)])
    assert floor_vote(cameras, footage, rank_ups(np.stack([c.viewmat for c in cameras]))) is None
    with pytest.raises(CalibrationError, match="which axis"):
        place(cameras, scale=1.0, world_up="cameras", floor=0.0, footage=footage)


def test_what_is_no_floor() -> None:
    random = np.random.default_rng(0)
    eyes = np.array([[2.0, 0, 1.0], [-2.0, 0, 1.0]])
    ground = np.c_[random.uniform(-1, 1, (500, 2)), 0.01 * random.standard_normal(500)]
    person = random.uniform([-0.2, -0.2, 0], [0.2, 0.2, 1.8], (2000, 3))
    found = find_floor(np.r_[ground, person], eyes, Z)
    assert found is not None and apart(found[0], Z) < 3 and found[1] > 0.15
    # A table has things under it; a strip is an edge; below the cameras there must be room.
    below = random.uniform([-1, -1, -0.7], [1, 1, -0.1], (500, 3))
    assert find_floor(np.r_[ground, person, below], eyes, Z) is None
    assert find_floor(np.r_[ground * [1, 0.1, 1], person], eyes, Z) is None
    assert find_floor(np.r_[ground, person], eyes * [1, 1, 0], Z) is None
    assert find_floor(person, eyes, Z) is None
