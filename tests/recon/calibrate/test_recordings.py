"""Recordings are read picture by picture, moments matched by number, name or time stamps; bad ones are named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.calibrate.boards import Board
from simulacra.recon.calibrate.recordings import find_pictures, gather_views
from simulacra.recon.session.video import write_video
from simulacra.render.runtime.errors import CaptureError, InputError

BOARD = Board("chessboard", 5, 4, 0.05)


def _picture(shift: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    y, x = np.mgrid[:100, :120] // 20
    board = np.pad(((x + y) % 2 * 255).astype(np.uint8), 20, constant_values=255)
    image = np.full((size[1], size[0]), 255, np.uint8)
    image[30 : 30 + board.shape[0], 40 + shift : 40 + shift + board.shape[1]] = board
    return np.repeat(image[..., None], 3, -1)


def _folders(root: Path, names: dict[str, list[str]]) -> Path:
    for camera, files in names.items():
        (root / camera).mkdir(parents=True)
        for number, file in enumerate(files):
            cv2.imwrite(str(root / camera / file), _picture(2 * number))
    return root


def test_pictures_of_one_name_are_of_one_moment(tmp_path: Path) -> None:
    src = _folders(tmp_path, {"a": ["1.png", "2.png", "3.jpg"], "b": ["2.png", "3.png"]})
    pictures = find_pictures(src)
    assert {name: [p.moment for p in chosen] for name, chosen in pictures.items()} == {
        "a": ["1", "2", "3"],
        "b": ["2", "3"],
    }
    found = gather_views(pictures, BOARD)
    assert found.cameras == ("a", "b") and found.sizes == ((320, 240),) * 2 and found.looked == (3, 2)
    assert len(found.views) == 5 and all(view.frame is None for view in found.views)


def test_few_of_many_moments_are_spread(tmp_path: Path) -> None:
    src = _folders(tmp_path, {"a": [f"{i:02d}.png" for i in range(9)]})
    assert [p.moment for p in find_pictures(src, most=3)["a"]] == ["00", "04", "08"]


def test_videos_are_of_one_moment_by_number_or_by_time_stamps(tmp_path: Path) -> None:
    for camera in ("cam_0", "cam_1"):
        write_video(
            tmp_path / f"{camera}.mp4", (_picture(2 * i).astype(np.float32) / 255 for i in range(6)), 10.0
        )
    by_number = find_pictures(tmp_path)
    assert [p.moment for p in by_number["cam_1"]] == list("012345")
    rows = ["sync_index,cam_id,frame_index,frame_time"]
    rows += [f"{10 + i},{camera},{i},{0.1 * i + 0.01 * camera}" for i in range(6) for camera in (0, 1)]
    (tmp_path / "timestamps.csv").write_text("\n".join(rows))
    stamped = find_pictures(tmp_path)
    assert [p.moment for p in stamped["cam_0"]] == [str(10 + i) for i in range(6)]
    assert stamped["cam_1"][2].time == pytest.approx(0.21)
    found = gather_views(stamped, BOARD)
    assert len(found.views) == 12 and found.views[3].frame == 3
    (tmp_path / "timestamps.csv").write_text("\n".join(rows[:-1]))
    with pytest.raises(InputError, match="differ in length"):
        find_pictures(tmp_path)


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recording"):
        find_pictures(tmp_path / "absent")
    with pytest.raises(InputError, match="videos or of folders"):
        find_pictures(tmp_path)
    src = _folders(tmp_path / "x", {"a": ["1.png"]})
    (src / "a.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="videos or of folders"):
        find_pictures(src)
    (tmp_path / "y").mkdir()
    (tmp_path / "y/a.mp4").write_bytes(b"no video")
    with pytest.raises(InputError):
        find_pictures(tmp_path / "y")
    (src / "a.mp4").unlink()
    (src / "a/1.png").write_bytes(b"no picture")
    with pytest.raises(InputError):
        gather_views(find_pictures(src), BOARD)


def test_pictures_of_two_sizes_or_without_a_board_are_named(tmp_path: Path) -> None:
    src = _folders(tmp_path / "sizes", {"a": ["1.png"]})
    cv2.imwrite(str(src / "a/2.png"), _picture(0, (400, 240)))
    with pytest.raises(InputError, match="differ in size"):
        gather_views(find_pictures(src), BOARD)
    src = _folders(tmp_path / "none", {"a": ["1.png"]})
    with pytest.raises(CaptureError, match="no picture shows"):
        gather_views(find_pictures(src), Board("chessboard", 9, 6, 0.05))
