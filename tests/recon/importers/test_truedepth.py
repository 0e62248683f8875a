"""Portraits: a plane comes back in metres whichever way the file is turned, colors in sRGB, up from gravity."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.importers.options import TruedepthOptions
from simulacra.recon.importers.truedepth import import_truedepth
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CalibrationError, InputError, MissingExtraError
from tests.recon.importers.portrait_files import (
    DEPTH_HEIGHT,
    DEPTH_WIDTH,
    FOCAL,
    HEIGHT,
    HIGH,
    LOW,
    NORMAL,
    OFFSET,
    WIDTH,
    Phone,
    disparity,
    stored_depth,
    swapped_profile,
    write_heic,
    write_jpeg,
)

WRITERS: dict[str, Callable[[Path, Phone], None]] = {"jpg": write_jpeg, "heic": write_heic}
# One step of the stored disparity, and half for the codec.
STEP = 1.5 * (HIGH - LOW) / 255


@pytest.fixture(params=["jpg", "heic"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "heic":
        pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif: pip install 'simulacra[heic]'")
    return str(request.param)


def imported(tmp_path: Path, kind: str, phone: Phone, **options: object) -> Session:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / f"portrait.{kind}"
    WRITERS[kind](path, phone)
    return import_truedepth(path, tmp_path / "session", TruedepthOptions(**options))  # type: ignore[arg-type]


def distance_to_plane(session: Session, normal: np.ndarray) -> np.ndarray:
    """Of every pixel's point to the plane, as an error of disparity in 1/m."""
    measured = session.depth(0, "phone")
    assert measured is not None and measured[1].all()
    K, (depth, _) = session.camera("phone").K, measured
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]] + 0.5
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones_like(rows)], -1)
    return np.abs(rays @ normal / OFFSET - 1 / depth)


def turned_normal(turns: int) -> np.ndarray:
    x, y, z = NORMAL
    for _ in range(turns):
        x, y = y, -x
    return np.array([x, y, z])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_plane_comes_back_in_metres(tmp_path: Path, kind: str, turns: int) -> None:
    """Intrinsics of a reference size, depth of another size, and both turned: any slip bends or tilts the plane."""
    session = imported(tmp_path, kind, Phone(turns=turns))
    camera = session.camera("phone")
    assert (camera.width, camera.height) == ((WIDTH, HEIGHT) if turns % 2 == 0 else (HEIGHT, WIDTH))
    assert camera.K[0, 0] == pytest.approx(FOCAL / 2)
    assert np.quantile(distance_to_plane(session, turned_normal(turns)), 0.99) < STEP
    # The control: the plane as it would lie if the turn had been forgotten.
    assert np.median(distance_to_plane(session, turned_normal(turns + 1))) > 5 * STEP


@pytest.mark.parametrize(
    ("turns", "corner"), [(0, "upper left"), (1, "lower left"), (2, "lower right"), (3, "upper right")]
)
def test_the_picture_is_upright(tmp_path: Path, kind: str, turns: int, corner: str) -> None:
    image = imported(tmp_path, kind, Phone(turns=turns)).image(0, "phone")
    rows = slice(8, 36) if "upper" in corner else slice(-36, -8)
    columns = slice(8, 36) if "left" in corner else slice(-36, -8)
    np.testing.assert_allclose(image[rows, columns].mean((0, 1)) * 255, [220, 30, 30], atol=6)


def test_masks_and_mattes_are_turned_too(tmp_path: Path, kind: str) -> None:
    session = imported(tmp_path, kind, Phone(turns=3))
    mask = session.mask(0, "phone")
    assert mask is not None
    # Rows 16..60 and columns 20..80 of 72 x 96, a quarter turn clockwise, twice the size.
    rows, columns = np.nonzero(mask > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 159, 24, 111)
    assert (session.root / "mattes/skin/phone/000000.png").is_file()
    assert any("matte of skin: 0.00 %" in note for note in session.notes)


def test_gravity_says_how_the_phone_was_tilted(tmp_path: Path, kind: str) -> None:
    """A front camera on a phone that leans back looks up; a back camera then looks down."""
    for number, (model, pitch) in enumerate({"front camera": 30.0, "back camera": -30.0}.items()):
        path = tmp_path / f"{number}.{kind}"
        WRITERS[kind](path, Phone(model=model))
        session = import_truedepth(path, tmp_path / f"{number}", TruedepthOptions(camera_height=1.2))
        viewmat = session.camera("phone").viewmat
        assert np.degrees(np.arcsin(viewmat[2, 1])) == pytest.approx(pitch, abs=0.01)
        assert viewmat[2, 2] < 0 and abs(viewmat[2, 0]) < 1e-9  # it looks along -Z
        np.testing.assert_allclose(-viewmat[:3, :3].T @ viewmat[:3, 3], [0, 1.2, 0], atol=1e-9)
        assert any("gravity" in note for note in session.notes)


def test_a_picture_turned_a_quarter_has_its_own_up(tmp_path: Path) -> None:
    """A phone held on its side: gravity lies along its right, and the picture is shown upright all the same."""
    for name, gravity in {"right": (1.0, 0.0, 0.0), "left": (-1.0, 0.0, 0.0)}.items():
        write_jpeg(tmp_path / f"{name}.jpg", Phone(gravity=gravity))
        viewmat = (
            import_truedepth(tmp_path / f"{name}.jpg", tmp_path / name, TruedepthOptions())
            .camera("phone")
            .viewmat
        )
        np.testing.assert_allclose(viewmat[:3, 1], [0, -1, 0], atol=1e-6)


@pytest.mark.parametrize("gravity", [None, (0.0, 0.0, 1.0), (0.0, -2.0, 0.0)], ids=["none", "flat", "shaken"])
def test_without_gravity_the_picture_is_upright(
    tmp_path: Path, gravity: tuple[float, float, float] | None
) -> None:
    write_jpeg(tmp_path / "p.jpg", Phone(gravity=gravity))
    session = import_truedepth(tmp_path / "p.jpg", tmp_path / "session", TruedepthOptions())
    np.testing.assert_allclose(session.camera("phone").viewmat[:3, :3], np.diag([1.0, -1, -1]), atol=1e-9)
    assert any("up is the picture's own" in note for note in session.notes)
    with pytest.raises(InputError, match="gravity"):
        import_truedepth(tmp_path / "p.jpg", tmp_path / "other", TruedepthOptions(up="gravity"))


def test_colors_become_srgb(tmp_path: Path, kind: str) -> None:
    """A profile whose red is sRGB's blue: what is stored red is shown blue."""
    session = imported(tmp_path, kind, Phone(icc=swapped_profile()))
    np.testing.assert_allclose(
        session.image(0, "phone")[8:36, 8:36].mean((0, 1)) * 255, [30, 30, 220], atol=8
    )
    assert any("sRGB" in note for note in session.notes)


def test_a_smaller_picture_of_the_same_view(tmp_path: Path) -> None:
    session = imported(tmp_path, "jpg", Phone(turns=1), shrink=4)
    camera = session.camera("phone")
    assert (camera.width, camera.height) == (HEIGHT // 4, WIDTH // 4)
    assert np.quantile(distance_to_plane(session, turned_normal(1)), 0.99) < STEP
    with pytest.raises(InputError, match="shrunk") as caught:
        imported(tmp_path / "..", "jpg", Phone(), shrink=5)
    assert "1, 2, 3, 4, 6, 8, 12, 16" in str(caught.value)


def test_depth_that_is_stored_as_depth(tmp_path: Path) -> None:
    phone = Phone(
        values={
            "apdi:AuxiliaryImageType": "depth",
            "apdi:NativeFormat": str(0x66646570),
            "apdi:FloatMinValue": "0.25",
            "apdi:FloatMaxValue": "0.76",
        }
    )
    session = imported(tmp_path, "jpg", phone)
    measured = session.depth(0, "phone")
    assert measured is not None
    middle = float(stored_depth()[35:37, 47:49].mean())
    assert measured[0][71:73, 95:97].mean() == pytest.approx(0.25 + 0.51 * middle / 255, abs=0.004)


def test_holes_of_an_unfiltered_map_are_not_its_far_end(tmp_path: Path) -> None:
    """The least disparity is stored as 0, and so is no disparity: only the phone's filter leaves none of these."""
    bounds = {"apdi:FloatMinValue": "2.0"}  # half of the plane is beyond 0.5 m, and stored as 0
    stored = np.clip(np.rint(255 * (disparity(DEPTH_WIDTH, DEPTH_HEIGHT) - 2.0) / (HIGH - 2.0)), 0, 255)
    for filtered, known in (("True", 1.0), ("False", float((stored > 0).mean()))):
        values = bounds | {"depthData:Filtered": filtered}
        session = imported(tmp_path / filtered, "jpg", Phone(values=values, depth=stored.astype(np.uint8)))  # type: ignore[arg-type]
        measured = session.depth(0, "phone")
        assert measured is not None
        assert measured[1].mean() == pytest.approx(known, abs=0.03)
        assert measured[0].max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("grey", [True, False])
def test_a_depth_map_stored_in_color_has_to_be_grey(tmp_path: Path, grey: bool) -> None:
    depth = np.repeat(stored_depth()[..., None], 3, axis=-1)
    if not grey:
        depth[..., 0] //= 2
    phone = Phone(depth=depth)
    if grey:
        assert np.quantile(distance_to_plane(imported(tmp_path, "jpg", phone), NORMAL), 0.99) < STEP
    else:
        with pytest.raises(InputError, match="not grey"):
            imported(tmp_path, "jpg", phone)


def test_far_depth_is_left_out_and_counted(tmp_path: Path) -> None:
    session = imported(
        tmp_path, "jpg", Phone(values={"apdi:FloatMinValue": "0", "apdi:FloatMaxValue": "0.3"})
    )
    measured = session.depth(0, "phone")
    assert measured is not None
    assert 0 < (~measured[1]).mean() < 1 and measured[0].max() < 6.56
    assert any("beyond 6.6 m" in note for note in session.notes)


def test_relative_depth_is_asked_about(tmp_path: Path) -> None:
    phone = Phone(values={"depthData:Accuracy": "relative"})
    with pytest.raises(CalibrationError, match="relative"):
        imported(tmp_path, "jpg", phone)
    assert imported(tmp_path, "jpg", phone, relative_depth="drop").depth(0, "phone") is None
    trusted = import_truedepth(
        tmp_path / "portrait.jpg", tmp_path / "trusted", TruedepthOptions(relative_depth="trust")
    )
    assert trusted.depth(0, "phone") is not None
    assert any("not to be trusted" in note for note in trusted.notes)


def test_a_lens_with_its_own_centre(tmp_path: Path) -> None:
    """Points of the rectified picture go to r (1 + p(r^2)) about the centre, the percent and millimetres undone."""
    forward, inverse = [0, 0.5, -0.01, 0, 0, 0, 0, 0], [0, -0.5, 0.0175, 0, 0, 0, 0, 0]
    values: dict[str, object] = {
        "depthData:LensDistortionCoefficients": forward,
        "depthData:InverseLensDistortionCoefficients": inverse,
        "depthData:LensDistortionCenterOffsetX": "180",
        "depthData:LensDistortionCenterOffsetY": "140",
        "depthData:PixelSize": "0.0075",
    }
    phone = Phone(turns=3, values=values)  # type: ignore[arg-type]
    camera = imported(tmp_path, "jpg", phone).camera("phone")
    assert camera.lens is not None and camera.lens.model == "radial_table"
    x, y, largest, *factors = camera.lens.coefficients
    # The centre in the shown picture: (180, 140) of 384 x 288, a quarter turn clockwise, is (148, 180) of 288 x 384.
    assert (x * FOCAL / 2 + camera.K[0, 2], y * FOCAL / 2 + camera.K[1, 2]) == pytest.approx((74.0, 90.0))
    r = np.linspace(0, np.hypot(384 - 180, 288 - 140), len(factors))
    assert largest * FOCAL == pytest.approx(r[-1])
    mm = 0.0075 * r
    np.testing.assert_allclose(factors, 1 + (0.5 * mm**2 - 0.01 * mm**4) / 100, rtol=1e-12)
    wrong = {**values, "depthData:InverseLensDistortionCoefficients": forward}
    with pytest.raises(CalibrationError, match="not understood"):
        imported(tmp_path / "..", "jpg", replace(phone, values=wrong))  # type: ignore[arg-type]
    plain = import_truedepth(tmp_path / "portrait.jpg", tmp_path / "plain", TruedepthOptions(lens="none"))
    assert plain.camera("phone").lens is None
    assert any("left out" in note for note in plain.notes)


def test_heic_without_its_decoder_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif", reason="the file to be refused is written with it")
    write_heic(tmp_path / "p.heic", Phone())
    monkeypatch.setattr("simulacra.recon.importers.heif_pixels.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"simulacra\[heic\]"):
        import_truedepth(tmp_path / "p.heic", tmp_path / "session", TruedepthOptions())


def test_a_real_portrait_has_a_face_of_human_size(
    capture_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """The distance between pupils is 54 to 74 mm in adults; gravity puts the face upright to a few degrees."""
    pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif: pip install 'simulacra[heic]'")
    from simulacra.recon.observe.face import FaceNetwork

    source = capture_folder("truedepth_portrait") / "heic_face_data.heic"
    session = import_truedepth(source, tmp_path / "session", TruedepthOptions(shrink=2))
    camera, measured = session.camera("phone"), session.depth(0, "phone")
    face = FaceNetwork()(session.image(0, "phone"))
    assert measured is not None and face is not None

    def point(number: int) -> np.ndarray:
        x, y = face.px[number]
        z = np.median(measured[0][int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4])
        return (
            np.array([(x - camera.K[0, 2]) / camera.K[0, 0], (y - camera.K[1, 2]) / camera.K[1, 1], 1.0]) * z
        )

    assert 0.054 < np.linalg.norm(point(468) - point(473)) < 0.074
    assert 0.025 < (point(468)[2] + point(473)[2]) / 2 - point(1)[2] < 0.06  # the nose stands out
    upwards = camera.viewmat[:3, :3].T @ (point(10) - point(152))
    assert np.degrees(np.arccos(upwards[1] / np.linalg.norm(upwards))) < 8
    assert measured[1].all()
