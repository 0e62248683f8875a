"""Whole rigs out of board views: planted ones come back, out-of-step cameras are found, bad recordings are named."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from simulacra.recon.calibrate import (
    apply_calibration,
    calibrate_lenses,
    calibrate_rig,
    find_pictures,
    gather_views,
    person_in_pictures,
    read_board,
    read_calibration,
    stand_on_board,
    stand_upright,
    write_calibration,
)
from simulacra.recon.calibrate.boards import Board
from simulacra.recon.calibrate.lens import calibrate_lens, folds_over
from simulacra.recon.calibrate.recordings import BoardViews, RecordedFrame
from simulacra.recon.calibrate.report import (
    describe_calibration,
    print_calibrations,
    reprojections,
    weaknesses,
)
from simulacra.recon.calibrate.solve import RigCalibration, select_views, unfold
from simulacra.recon.importers import standing
from simulacra.recon.importers.building import new_session_folder, write_session
from simulacra.recon.importers.caliscope import read_camera_array
from simulacra.recon.importers.footage import Footage
from simulacra.recon.importers.pose2sim import read_pose2sim
from simulacra.recon.multiview.rig import CameraRig, project_points
from simulacra.recon.multiview.up import UpVote
from simulacra.recon.session import Frame, Lens, Session, SessionCamera, Source, load_session
from simulacra.render.runtime.errors import CalibrationError, CaptureError, InputError, RunError
from tests.recon.calibrate.planted_rig import SIZE, PlantedRig, planted_rig, rig_difference
from tests.recon.multiview.test_up import Z, ring


@pytest.fixture(scope="module")
def planted() -> PlantedRig:
    return planted_rig(noise=0.1)


@pytest.fixture(scope="module")
def calibrated(planted: PlantedRig) -> RigCalibration:
    return calibrate_rig(planted.found, lens=2)


def test_a_planted_rig_comes_back(planted: PlantedRig, calibrated: RigCalibration) -> None:
    rig, errors = calibrated.bundle.rig, calibrated.bundle.uncertainty
    np.testing.assert_allclose(rig.intrinsics[:, :2], planted.rig.intrinsics[:, :2], rtol=0.005)
    apart, turned = rig_difference(rig.viewmats, planted.rig.viewmats)
    assert apart.max() < 0.004 and turned.max() < 0.15
    assert (apart < 5 * np.linalg.norm(errors.centres_m, axis=-1)).all()
    _, in_step = reprojections(calibrated)
    assert np.sqrt((in_step**2).mean()) == pytest.approx(0.1 * np.sqrt(2), rel=0.15)


def test_as_many_coefficients_as_the_lens_has() -> None:
    bent = planted_rig(cameras=1, moments=40, noise=0.1).found
    lens = calibrate_lens(bent.views, bent.board, SIZE)
    assert lens.free[4:6].any() and lens.held_out_px[2] < 0.7 * lens.held_out_px[0]
    # The control: pixels of a pinhole camera ask for none.
    straight = calibrate_lens(_pinhole(bent), bent.board, SIZE)
    assert not straight.free[6:].any() and abs(straight.intrinsics[4]) < 0.01


def _pinhole(found: BoardViews) -> list:
    K = np.array([[900.0, 0, 645], [0, 905, 350], [0, 0, 1]])
    lens = np.array([-0.1, 0.05, 0, 0, 0])
    views = []
    for view in found.views:
        straight = cv2.undistortPoints(view.corners.pixels[:, None], K, lens, P=K)[:, 0]
        views.append(replace(view, corners=replace(view.corners, pixels=straight)))
    return views


def test_cameras_out_of_step_are_found_and_forgiven() -> None:
    lags = (0.0, 0.06, -0.03)
    wrong = planted_rig(moments=50, noise=0.1, lags=lags, jitter=0.01)
    known = dict(zip(wrong.found.cameras, wrong.rig.intrinsics, strict=True))
    found = calibrate_rig(wrong.found, intrinsics=known, refine_intrinsics=False)
    np.testing.assert_array_equal(found.bundle.rig.intrinsics, wrong.rig.intrinsics)
    expected = np.array(lags) - np.mean(lags)
    np.testing.assert_allclose(found.clocks.lags, expected, atol=0.012)
    assert 0.004 < found.clocks.jitter < 0.04  # what the parabola misses of the motion is in it
    apart, _ = rig_difference(found.bundle.rig.viewmats, wrong.rig.viewmats)
    # The control: the same pictures taken for simultaneous.
    still = tuple(replace(view, frame=None, time=None) for view in wrong.found.views)
    blind = calibrate_rig(replace(wrong.found, views=still), intrinsics=known, refine_intrinsics=False)
    misled, _ = rig_difference(blind.bundle.rig.viewmats, wrong.rig.viewmats)
    assert apart.max() < 0.008 and misled.max() > 2 * apart.max()
    assert any("older than" in text for text in weaknesses(found))


def test_the_table_says_what_is_weak(calibrated: RigCalibration) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    few = replace(calibrated, sizes=((9000, 9000),) * 3)  # the same corners in a small part of a larger image
    print_calibrations([few], console)
    text = console.export_text()
    assert text.count("cam_") >= 6 and text.count("corners in only") == 3
    assert not any("tilted" in weak or "views of the board" in weak for weak in weaknesses(calibrated))


def test_a_real_camera_comes_back(capture_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """One camera of Caliscope's recording, every third frame; its own calibration rests on another recording."""
    source = capture_folder("caliscope_charuco_calibration")
    recording = tmp_path / "recording"
    recording.mkdir()
    (recording / "cam_2.mp4").symlink_to(source / "calibration/extrinsic/cam_2.mp4")
    found = gather_views(find_pictures(recording, most=37), read_board(source / "charuco.toml"))
    assert len(found.views) > 10
    lens = calibrate_lens(found.views, found.board, found.sizes[0], 2)
    cameras, _ = read_camera_array(source / "camera_array.toml")
    given = cameras["cam_2"].K
    np.testing.assert_allclose(lens.intrinsics[:2], [given[0, 0], given[1, 1]], rtol=0.04)
    assert lens.sigma_px < 0.2


def test_cameras_in_step_have_no_lag(calibrated: RigCalibration) -> None:
    assert np.abs(calibrated.clocks.lags).max() < 0.003 and calibrated.clocks.jitter < 0.003
    assert not any("older than" in text for text in weaknesses(calibrated))


def test_the_world_stands_on_the_board(planted: PlantedRig, calibrated: RigCalibration) -> None:
    moment = calibrated.moments[3]
    moved = stand_on_board(calibrated, moment)
    board = moved.bundle.bodies[moved.moments.index(moment)]
    np.testing.assert_allclose(board[:3, 3], 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(board[1, :3]), [0, 0, 1], atol=1e-12)
    assert moved.bundle.rig.centres[:, 1].mean() > 0
    apart, turned = rig_difference(moved.bundle.rig.viewmats, calibrated.bundle.rig.viewmats)
    assert apart.max() < 1e-9 and turned.max() < 1e-5
    upright = stand_upright(calibrated, "-y")
    assert upright.bundle.rig.viewmats[0, :3, :3] @ [0, 1.0, 0] == pytest.approx([0, -1, 0], abs=0.02)
    with pytest.raises(CaptureError, match="no board"):
        stand_on_board(calibrated, "9999")


def test_a_person_in_the_pictures_says_which_end_is_up(
    calibrated: RigCalibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level ring of cameras on their sides: poses leave the end open, somebody who holds the board does not."""
    rig = CameraRig(calibrated.bundle.rig.intrinsics, ring(len(calibrated.cameras), 90.0))
    aside = replace(calibrated, bundle=replace(calibrated.bundle, rig=rig))
    shown = {name: RecordedFrame("7", tmp_path / f"{name}.mp4", 7) for name in calibrated.cameras}
    with pytest.raises(CalibrationError, match="which axis"):
        stand_upright(aside)
    for up in (Z, -Z):

        def person(cameras: list[SessionCamera], footage: Footage, up: np.ndarray = up) -> UpVote:
            assert [camera.name for camera in cameras] == list(calibrated.cameras)
            assert (
                footage.files[footage.frames[0].sources[cameras[1].name].file] == shown[cameras[1].name].file
            )
            return UpVote("the person", up, 12.0, 0.003)

        monkeypatch.setattr(standing, "person_vote", person)
        stood = stand_upright(aside, ask=lambda one: person_in_pictures(one, shown))
        found = stood.bundle.rig.viewmats[0, :3, :3] @ [0, 1.0, 0]
        np.testing.assert_allclose(found, rig.viewmats[0, :3, :3] @ up, atol=0.15)
        assert any("the person says so" in note for note in stood.notes)


def test_files_hold_what_was_found(calibrated: RigCalibration, tmp_path: Path) -> None:
    moved = stand_upright(calibrated, "-y")
    path = write_calibration(tmp_path / "out", [moved])
    cameras, posed = read_calibration(path)
    assert posed and [camera.name for camera in cameras] == list(calibrated.cameras)
    for number, camera in enumerate(cameras):
        np.testing.assert_allclose(camera.K, moved.bundle.rig.Ks[number])
        np.testing.assert_allclose(camera.viewmat, moved.bundle.rig.viewmats[number])
    told = json.loads(path.read_text())
    assert set(told["cameras"][0]["standard_errors"]) >= {"fx", "k1", "centre_m", "rotation_deg"}
    assert describe_calibration(moved)["moments"] == len(moved.moments)


def test_pose2sims_tables_are_of_the_same_rig(calibrated: RigCalibration, tmp_path: Path) -> None:
    moved = stand_upright(calibrated, "-y")
    write_calibration(tmp_path, [moved])
    read = read_pose2sim(tmp_path / "calibration.toml")
    for number, camera in enumerate(read.values()):
        np.testing.assert_allclose(camera.K, moved.bundle.rig.Ks[number], atol=1e-9)
    viewmats = np.stack([camera.viewmat for camera in read.values()])
    apart, turned = rig_difference(viewmats, moved.bundle.rig.viewmats)
    assert apart.max() < 1e-9 and turned.max() < 1e-5
    # z of the file is up.
    centres = np.stack([-view[:3, :3].T @ view[:3, 3] for view in viewmats])
    np.testing.assert_allclose(centres[:, 2], moved.bundle.rig.centres[:, 1], atol=1e-9)


def _session(
    folder: Path, planted: PlantedRig, size: tuple[int, int] = SIZE, stretched: float = 1.1
) -> Session:
    """A session of the planted cameras, with their lenses where focal lengths are not stretched."""
    cameras = [
        SessionCamera(
            name,
            *size,
            planted.rig.Ks[number] * np.array([[stretched], [stretched], [1.0]]),
            planted.rig.viewmats[number],
            Lens("opencv", tuple(planted.rig.intrinsics[number, 4:].tolist())) if stretched == 1 else None,
        )
        for number, name in enumerate(planted.found.cameras)
    ]
    frames = [Frame(0, {name: Source(f"images/{name}/000000.png") for name in planted.found.cameras})]
    with new_session_folder(folder) as work:
        for name in planted.found.cameras:
            (work / "images" / name).mkdir(parents=True)
            (work / "images" / name / "000000.png").write_bytes(b"a picture")
        write_session(
            work, cameras, frames, importer="test", arguments={}, notes=["before"], T_world_source=np.eye(4),
            source=folder,
        )  # fmt: skip
    return load_session(folder)


def test_a_calibration_is_laid_over_a_session(
    planted: PlantedRig, calibrated: RigCalibration, tmp_path: Path
) -> None:
    session = _session(tmp_path / "before", planted)
    path = write_calibration(tmp_path / "calibration", [stand_upright(calibrated, "-y")])
    applied = apply_calibration(session, path, tmp_path / "after")
    for camera, truth in zip(applied.cameras, planted.rig.viewmats, strict=True):
        np.testing.assert_allclose(camera.viewmat, truth, atol=0.01)
    assert (tmp_path / "after/images/cam_0/000000.png").read_bytes() == b"a picture"
    assert applied.notes[0] == "before" and len(applied.notes) == 2
    with pytest.raises(RunError):
        apply_calibration(session, path, tmp_path / "after")
    other = apply_calibration(session, path, tmp_path / "own_world", keep_world=False)
    np.testing.assert_allclose(
        other.cameras[1].viewmat, stand_upright(calibrated, "-y").bundle.rig.viewmats[1]
    )


def test_a_calibration_of_another_session_is_refused(
    planted: PlantedRig, calibrated: RigCalibration, tmp_path: Path
) -> None:
    path = write_calibration(tmp_path / "calibration", [calibrated])
    with pytest.raises(CalibrationError, match="another image size"):
        apply_calibration(_session(tmp_path / "small", planted, (640, 360)), path, tmp_path / "out")
    alone = replace(calibrated, cameras=("a", "b", "c"))
    renamed = write_calibration(tmp_path / "renamed", [alone])
    with pytest.raises(CalibrationError, match="not calibrated"):
        apply_calibration(_session(tmp_path / "session", planted), renamed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 1, "units": "metres"}', '{"schema": 1, "units": "metres", "cameras": [3]}'],
)
def test_a_calibration_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_calibration(path)


def test_lone_cameras_have_lenses_and_no_poses(planted: PlantedRig, tmp_path: Path) -> None:
    found = calibrate_lenses(planted.found, lens=2)
    assert [each.cameras for each in found] == [("cam_0",), ("cam_1",), ("cam_2",)]
    for each, truth in zip(found, planted.rig.intrinsics, strict=True):
        np.testing.assert_allclose(each.bundle.rig.intrinsics[0, :2], truth[:2], rtol=0.01)
    path = write_calibration(tmp_path / "lenses", found)
    cameras, posed = read_calibration(path)
    assert len(cameras) == 3 and not posed and not (tmp_path / "lenses/calibration.toml").exists()
    session = _session(tmp_path / "before", planted)
    applied = apply_calibration(session, path, tmp_path / "after")
    np.testing.assert_array_equal(applied.cameras[1].viewmat, session.cameras[1].viewmat)
    assert applied.cameras[1].K[0, 0] == pytest.approx(planted.rig.intrinsics[1, 0], rel=0.01)


def test_recordings_that_cannot_do_are_named(planted: PlantedRig) -> None:
    found = planted.found
    few = tuple(view for view in found.views if view.camera != 1 or view.moment in ("1", "2"))
    with pytest.raises(CaptureError, match="too few views"):
        calibrate_rig(replace(found, views=few))
    never = tuple(view for view in found.views if view.camera != 2)
    with pytest.raises(CaptureError, match="never saw"):
        calibrate_rig(replace(found, views=never))
    apart = tuple(replace(view, moment=f"{view.camera}-{view.moment}") for view in found.views)
    with pytest.raises(CaptureError, match="same time"):
        calibrate_rig(replace(found, views=apart), lens=2)
    with pytest.raises(CaptureError, match="turned by half"):
        calibrate_rig(replace(found, board=Board("chessboard", 6, 5 + 1, 0.06), views=_whole(found)), lens=2)


def _whole(found: BoardViews) -> tuple:
    return tuple(replace(v, corners=replace(v.corners, numbers=v.corners.numbers + 0)) for v in found.views)


def test_blurred_views_are_left_out_where_enough_remain(planted: PlantedRig) -> None:
    views = tuple(
        replace(view, corners=replace(view.corners, edge_px=9.0)) if int(view.moment) % 4 == 0 else view
        for view in planted.found.views
    )
    kept, notes = select_views(replace(planted.found, views=views))
    assert all(view.corners.edge_px < 9 for view in kept) and len(notes) == 3
    few = tuple(view for view in views if int(view.moment) < 12)
    assert len(select_views(replace(planted.found, views=few))[0]) == len(few)


def test_a_calibration_that_explains_held_out_boards_worse_is_not_applied(
    planted: PlantedRig, calibrated: RigCalibration, tmp_path: Path
) -> None:
    """The session has the true cameras, of which the new ones have lost a tenth of a focal length."""
    session = _session(tmp_path / "before", planted, stretched=1.0)
    intrinsics = calibrated.bundle.rig.intrinsics.copy()
    intrinsics[1, :2] *= 0.9
    bad = replace(
        calibrated,
        bundle=replace(calibrated.bundle, rig=replace(calibrated.bundle.rig, intrinsics=intrinsics)),
        free=np.zeros_like(calibrated.free),
    )
    path = write_calibration(tmp_path / "calibration", [stand_upright(bad, "-y")])
    with pytest.raises(CalibrationError, match="boards left out worse") as caught:
        apply_calibration(session, path, tmp_path / "after")
    found = [float(number) for number in re.findall(r"(\d+\.\d+) px", str(caught.value.found))]
    assert "--force" in str(caught.value.remedy) and not (tmp_path / "after").exists()
    assert found[0] < 0.2, "the noise of the corners is 0.1"
    applied = apply_calibration(session, path, tmp_path / "after", force=True)
    np.testing.assert_allclose(applied.cameras[1].K[0, 0], intrinsics[1, 0])
    # The control: the calibration as it came out is applied.
    good = write_calibration(tmp_path / "good", [stand_upright(calibrated, "-y")])
    apply_calibration(session, good, tmp_path / "good_session")
    # A file of another kind of folder does not judge, and a damaged one is named.
    (tmp_path / "good/held_out.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="judged by is damaged"):
        apply_calibration(session, good, tmp_path / "another")


def _seen_through(found: BoardViews, intrinsics: np.ndarray, within: float) -> list:
    """Views as a camera with another lens has them, as far as the board is within a distance of the centre, pixels."""
    K = np.array([[900.0, 0, 645], [0, 905, 350], [0, 0, 1]])
    views = []
    for view in found.views:
        rays = cv2.undistortPoints(view.corners.pixels[:, None], K, np.array([-0.1, 0.05, 0, 0, 0]))[:, 0]
        near = np.linalg.norm(rays, axis=-1) * intrinsics[0] < within
        if near.sum() < 10:
            continue
        pixels = project_points(np.concatenate([rays, np.ones((len(rays), 1))], 1)[near], intrinsics)[0]
        views.append(
            replace(view, corners=replace(view.corners, numbers=view.corners.numbers[near], pixels=pixels))
        )
    return views


def test_a_lens_that_would_fold_over_has_fewer_coefficients() -> None:
    """Boards in the middle alone ask for a lens that a real recording asked for, whose image turns back before the
    corners.
    """
    folding = np.array([905.0, 906, 640, 360, -0.44, 0.99, 0, 0, -2.43])
    assert folds_over(folding, SIZE)
    planted = planted_rig(cameras=1, moments=60, noise=0.02).found
    views = _seen_through(planted, folding, 330)
    assert len(views) > 15
    for lens in (None, 5, 2):
        found = calibrate_lens(views, planted.board, SIZE, lens)
        assert not folds_over(found.intrinsics, SIZE)
        assert found.free[4] and found.intrinsics[4] < -0.2, "the bend in the middle is there"


def test_no_lens_of_a_rig_folds_over(planted: PlantedRig, calibrated: RigCalibration) -> None:
    """The adjustment of the rig bends a lens that was sound alone: it is taken back, and said."""
    intrinsics = calibrated.bundle.rig.intrinsics.copy()
    intrinsics[0, 4:6] = -0.5, 0.0
    bent = replace(
        calibrated,
        bundle=replace(calibrated.bundle, rig=replace(calibrated.bundle.rig, intrinsics=intrinsics)),
    )
    mended = unfold(planted.found, calibrated.views, bent)
    assert not any(folds_over(row, SIZE) for row in mended.bundle.rig.intrinsics)
    assert mended.free[0, 4:].sum() == 1 and mended.free[1, 4:].sum() == 2
    assert any("cam_0: 1 lens coefficients" in note for note in mended.notes)
