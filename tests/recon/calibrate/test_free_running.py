"""A board's motion tells which pictures are of one moment, of cameras that were started one by one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.calibrate import BoardViews, calibrate_rig, free_running
from simulacra.recon.calibrate.free_running import gather_recording
from simulacra.recon.calibrate.recordings import RecordedFrame
from tests.recon.calibrate import planted_rig as planted_board
from tests.recon.calibrate.planted_rig import BOARD, RATE, planted_rig, rig_difference

MOMENTS = 300
NAMES = ("cam_0", "cam_1", "cam_2")


def waved(time: float, _: np.ndarray) -> np.ndarray:
    """A board in a hand: tones up to one a second, which never come together again."""
    random = np.random.default_rng(5)
    hertz, phases = random.uniform(0.1, 1.0, (6, 20)), random.uniform(0, 2 * np.pi, (6, 20))
    waves = np.sin(2 * np.pi * hertz * time + phases).sum(1) / np.sqrt(20)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(0.35 * waves[3:]).as_matrix()
    pose[:3, 3] = waves[:3] * [0.2, 0.12, 0.1] - pose[:3, :3] @ BOARD.corners.mean(0)
    return pose


def recording(monkeypatch: pytest.MonkeyPatch, began: tuple[int, ...], moments: int = MOMENTS) -> BoardViews:
    """Videos of which picture k shows moment k + began: what is seen of the board in those that are looked at."""
    monkeypatch.setattr(planted_board, "_pose", waved)
    planted = planted_rig(moments=moments + max(began), noise=0.2)
    everything = {(view.camera, int(view.moment)): view for view in planted.found.views}

    def find(src: Path) -> dict[str, tuple[RecordedFrame, ...]]:
        return {
            name: tuple(RecordedFrame(str(k), src / f"{name}.mp4", k) for k in range(moments))
            for name in NAMES
        }

    def gather(pictures: dict[str, tuple[RecordedFrame, ...]], board: object) -> BoardViews:
        views = []
        for camera, own in enumerate(pictures.values()):
            for picture in own:
                seen = everything.get((camera, (picture.number or 0) + began[camera]))
                if seen is not None:
                    views.append(
                        replace(seen, moment=picture.moment, frame=picture.number, time=picture.time)
                    )
        return replace(planted.found, views=tuple(views), looked=tuple(map(len, pictures.values())))

    monkeypatch.setattr(free_running, "find_pictures", find)
    monkeypatch.setattr(free_running, "gather_views", gather)
    monkeypatch.setattr(free_running, "read_sound", lambda *_: None)
    monkeypatch.setattr(
        free_running, "_own_clocks", lambda _: dict.fromkeys(NAMES, np.arange(moments) / RATE)
    )
    return planted.found


@pytest.mark.parametrize("began", [(0, 30, 7), (90, 0, 3)])
def test_pictures_are_paired_by_the_boards_motion(
    began: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recording(monkeypatch, began)
    pictures, _, (note,) = gather_recording(tmp_path, BOARD)
    moments: dict[str, set[int]] = {}
    for camera, own in enumerate(pictures.values()):
        for picture in own:
            moments.setdefault(picture.moment, set()).add((picture.number or 0) + began[camera])
    # One moment has pictures of one true moment, and there are as many as all cameras saw.
    assert all(len(true) == 1 for true in moments.values()) and len(moments) >= MOMENTS - max(began)
    assert "by the board's motion" in note


def test_cameras_that_began_together_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recording(monkeypatch, (0, 0, 0))
    pictures, _, notes = gather_recording(tmp_path, BOARD)
    assert notes == [] and pictures["cam_1"][5].time is None
    # So does a recording too short to say anything.
    recording(monkeypatch, (0, 5, 0), moments=15)
    assert gather_recording(tmp_path, BOARD)[2] == []


def test_the_rig_comes_out_as_if_they_had_begun_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recording(monkeypatch, (0, 30, 7), moments=120)
    _, views, notes = gather_recording(tmp_path, BOARD)
    assert notes
    truth = planted_rig(moments=2).rig.viewmats
    apart, turned = rig_difference(calibrate_rig(views).bundle.rig.viewmats, truth)
    assert apart.max() < 0.01 and turned.max() < 0.5
