"""Metashape's XML means what its manual says; what it cannot say is asked for."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.importers.metashape import import_metashape, read_metashape
from simulacra.recon.importers.options import MetashapeOptions
from simulacra.recon.session.lens import distort
from simulacra.render.runtime.errors import CalibrationError, InputError
from tests.recon.importers.foreign_captures import assert_cameras_are, metashape_sensor, write_metashape


def similarity(scale: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = scale * Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    T[:3, 3] = (0.7, -2.0, 1.1)
    return T


@pytest.mark.parametrize("ending", [False, True])
@pytest.mark.parametrize("scale", [None, 0.35, 12.0])
def test_cameras_and_photographs_come_back(tmp_path: Path, scale: float | None, ending: bool) -> None:
    placed = None if scale is None else similarity(scale)
    truth = write_metashape(tmp_path / "src", T_world_chunk=placed, ending=ending)
    session = import_metashape(tmp_path / "src", tmp_path / "s", MetashapeOptions(scale=1.0, world_up="+z"))
    expected = tuple(f"photo_{k}{'.png' if ending else ''}" for k in range(3))
    assert session.camera_names == expected and session.frame_indices == (0,)
    assert_cameras_are(session.cameras, truth, atol=1e-8)
    photograph = tmp_path / "src/images/photo 1.png"
    assert (session.root / f"images/{expected[1]}/000000.png").read_bytes() == photograph.read_bytes()


def test_the_unit_is_what_is_said(tmp_path: Path) -> None:
    truth = write_metashape(tmp_path / "src")
    session = import_metashape(
        tmp_path / "src", tmp_path / "s", MetashapeOptions(scale=0.5, world_up="cameras")
    )
    for mine, theirs in zip(session.cameras, truth):
        np.testing.assert_allclose(mine.viewmat[:3, 3], theirs.viewmat[:3, 3] / 2, atol=1e-8)


@pytest.mark.parametrize("kind", ["frame", "fisheye"])
def test_the_lens_is_the_manuals(tmp_path: Path, kind: str) -> None:
    """Every coefficient at once, against the formulas of the manual written out."""
    f, cx, cy, b1, b2 = 90.0, 2.5, -1.5, 3.0, -2.0
    k1, k2, k3, k4, p1, p2 = -0.1, 0.05, -0.01, 0.002, 0.003, -0.004
    write_metashape(tmp_path / "src", cameras=1)
    K = np.array([[f + b1, 0, 48 + cx], [0, f, 48 + cy], [0, 0, 1]])
    path = tmp_path / "src/cameras.xml"
    sensor = metashape_sensor(0, K, kind, b2=b2, k1=k1, k2=k2, k3=k3, k4=k4, p1=p1, p2=p2)
    before, _, rest = path.read_text().partition("<sensors>")
    path.write_text(f"{before}<sensors>{sensor}</sensors>{rest.partition('</sensors>')[2]}")
    camera = read_metashape(path)[0]["photo 0"]
    rays = np.array([[0.3, -0.2], [-0.5, 0.45], [0.02, 0.5]])
    for ray in rays:
        x, y = ray
        if kind == "fisheye":
            r = np.hypot(x, y)
            x, y = np.arctan(r) / r * ray
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
        xd = x * radial + p1 * (r2 + 2 * x * x) + 2 * p2 * x * y
        yd = y * radial + p2 * (r2 + 2 * y * y) + 2 * p1 * x * y
        expected = (96 / 2 + cx + xd * f + xd * b1 + yd * b2, 96 / 2 + cy + yd * f)
        assert camera.lens is not None
        found = distort(camera.lens, ray) * np.diag(camera.K)[:2] + camera.K[:2, 2]
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_what_is_not_aligned_is_left_out_and_said(tmp_path: Path) -> None:
    write_metashape(tmp_path / "src")
    path = tmp_path / "src/cameras.xml"
    text = path.read_text()
    path.write_text(text.replace("</cameras>", '<camera id="9" sensor_id="0" label="lost"/></cameras>'))
    session = import_metashape(tmp_path / "src", tmp_path / "s", MetashapeOptions(scale=1.0, world_up="+z"))
    assert len(session.cameras) == 3
    assert any("1 photographs are not aligned" in note and "lost" in note for note in session.notes)


def test_what_nothing_is_made_of_is_named(tmp_path: Path) -> None:
    write_metashape(tmp_path / "src")
    path = tmp_path / "src/cameras.xml"
    assert read_metashape(path)[1] == []
    more = '<orientation>1</orientation><rolling_shutter enabled="true"><x>1</x></rolling_shutter></camera>'
    path.write_text(
        path.read_text().replace("</camera>", more).replace("<camera ", '<camera master_id="0" ', 1)
    )
    (note,) = read_metashape(path)[1]
    assert note == "not used of cameras.xml: camera.master_id, orientation, rolling_shutter"


def _edit(old: str, new: str) -> Callable[[Path], object]:
    def edit(src: Path) -> None:
        path = src / "cameras.xml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return edit


def _whole(text: str) -> Callable[[Path], object]:
    return lambda src: (src / "cameras.xml").write_text(text)


def _not_aligned(src: Path) -> None:
    path = src / "cameras.xml"
    path.write_text(path.read_text().replace("transform>", "pose>"))


SIZED = 'class="adjusted"><resolution width="96"'
FRAME = 'type="frame" class="adjusted"'
BOMB = '<!DOCTYPE a [<!ENTITY b "xxxxxxxx"><!ENTITY c "&b;&b;&b;&b;">]><document>&c;</document>'
BAD: dict[str, tuple[type[Exception], str, Callable[[Path], object]]] = {
    "no file": (InputError, "no XML", lambda src: (src / "cameras.xml").unlink()),
    "two files": (InputError, "--xml", lambda src: (src / "b.xml").write_text("<a/>")),
    "not XML": (InputError, "not XML", _whole("<document><chunk>")),
    "empty": (InputError, "not XML", _whole("")),
    "a bomb": (InputError, "entity", _whole(BOMB)),
    "deep": (InputError, "nested", _whole("<a>" * 100000)),
    "no chunk": (InputError, "one chunk", _whole("<document/>")),
    "nothing aligned": (InputError, "aligned", _not_aligned),
    "no sensor": (CalibrationError, "sensor", _edit('sensor_id="0"', 'sensor_id="7"')),
    "not adjusted": (CalibrationError, "adjusted", _edit('class="adjusted"', 'class="initial"')),
    "no size": (CalibrationError, "width", _edit(SIZED, SIZED[:-11])),
    "another size": (CalibrationError, "another image size", _edit(SIZED, SIZED.replace("96", "97"))),
    "spherical": (CalibrationError, "type", _edit(FRAME, FRAME.replace("frame", "spherical"))),
    "p3": (CalibrationError, "P3", _edit("<b1>", "<p3>0.1</p3><b1>")),
    "a word": (CalibrationError, "b1 is not", _edit("<b1>", "<b1>x")),
    "far off": (CalibrationError, "principal point", _edit("<cx>", "<cx>1000")),
    "a number less": (CalibrationError, "transform", _edit("<transform>", "<transform>1 ")),
    "one label twice": (CalibrationError, "label", _edit("photo 1", "photo 0")),
    "no photograph": (InputError, "photographs are missing", lambda src: shutil.rmtree(src / "images")),
    "two photographs": (
        InputError,
        "more than one",
        lambda src: (
            (src / "images/again").mkdir(),
            (src / "images/again/photo 1.png").write_bytes((src / "images/photo 1.png").read_bytes()),
        ),
    ),
    "georeferenced": (
        CalibrationError,
        "kilometres",
        _edit('label="one">', 'label="one"><transform><translation>4e6 5e5 4.9e6</translation></transform>'),
    ),
    "no scale": (
        CalibrationError,
        "scale",
        _edit('label="one">', 'label="one"><transform><scale>0</scale></transform>'),
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", BAD)
def test_bad_files_harm_nothing(tmp_path: Path, harm: str) -> None:
    src, out = tmp_path / "src", tmp_path / "out"
    write_metashape(src)
    (out / "earlier").mkdir(parents=True)
    expected, says, spoil = BAD[harm]
    spoil(src)
    with pytest.raises(expected, match=says):
        import_metashape(src, out / "session", MetashapeOptions(scale=1.0, world_up="+z"))
    assert [path.name for path in out.iterdir()] == ["earlier"]


def test_a_photograph_that_is_missing_costs_its_camera(tmp_path: Path) -> None:
    truth = write_metashape(tmp_path / "src")
    (tmp_path / "src/images/photo 1.png").unlink()
    (tmp_path / "src/images/photo 0.png").rename(tmp_path / "src/images/Photo 0.PNG")
    session = import_metashape(tmp_path / "src", tmp_path / "s", MetashapeOptions(scale=1.0, world_up="+z"))
    assert_cameras_are(session.cameras, (truth[0], truth[2]), atol=1e-7)
    assert "1 cameras have no photograph: left out (photo 1 and on)" in session.notes
