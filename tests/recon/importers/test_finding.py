"""People's folders are untidy: footage is found all the same, what is missing costs one camera, and all is said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simulacra.recon.importers.finding import CameraFiles, find_camera_images, find_videos, say_contents
from simulacra.recon.importers.footage import match_moments
from simulacra.render.runtime.errors import InputError

NAMES = {"cam_01": ("cam_01", "front"), "cam_02": ("cam_02", "left"), "cam_03": ("cam_03",)}


def lay(folder: Path, *files: str) -> Path:
    """Empty files: the finder looks at names only."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    return folder


FOUND: dict[str, tuple[str, ...]] = {
    "as they should be": ("videos/cam_01.mp4", "videos/cam_02.mp4", "videos/cam_03.mp4"),
    "other signs and endings in capitals": ("videos/Cam1.MP4", "videos/CAM-02.MOV", "videos/cam03.Avi"),
    "a folder in capitals": ("Videos/cam_01.mp4", "Videos/cam_02.mp4", "Videos/cam_03.mp4"),
    "no folder": ("cam_01.mp4", "cam_02.mp4", "cam_03.mp4", "notes.txt"),
    "by another name": ("videos/front.mp4", "videos/left.mp4", "videos/cam3.mp4"),
    "a folder each": ("videos/cam_01/GX01.MP4", "videos/cam_02/GX07.MP4", "videos/cam_03/DCIM/GX01.MP4"),
    "some in folders": ("videos/cam_01.mp4", "videos/cam_02.mp4", "videos/cam_03/GX01.MP4"),
    "hidden files": ("videos/cam_01.mp4", "videos/._cam_01.mp4", "videos/.DS_Store", "videos/cam_02.mp4",
                     "videos/cam_03.mp4", "videos/.trash/cam_03.mp4"),
    "a date around": ("videos/2024-03_cam_01.mp4", "videos/2024-03_cam_02.mp4", "videos/2024-03_cam_03.mp4"),
}  # fmt: skip


@pytest.mark.parametrize("how", FOUND)
def test_videos_are_found(tmp_path: Path, how: str) -> None:
    files = FOUND[how]
    found = find_videos(lay(tmp_path, *files), NAMES)
    kept = [file for file in files if not Path(file).name.startswith((".", "notes")) and "/." not in file]
    assert [path.relative_to(tmp_path).as_posix() for path in found.files.values()] == kept
    assert list(found.files) == list(NAMES)
    assert any("found videos of 3 of 3 cameras" in note for note in found.notes)


def test_what_is_missing_costs_one_camera(tmp_path: Path) -> None:
    found = find_videos(lay(tmp_path, "videos/cam_01.mp4", "videos/cam_03.mp4"), NAMES)
    assert list(found.files) == ["cam_01", "cam_03"]
    assert "cam_02 is calibrated and has no video: left out" in found.notes
    more = find_videos(lay(tmp_path, "videos/cam_02.mp4", "videos/board.mp4"), NAMES)
    assert list(more.files) == list(NAMES) and "board.mp4 has no calibration: left out" in more.notes


def _videos(src: Path) -> CameraFiles:
    return find_videos(src, NAMES)


def _images(src: Path) -> CameraFiles:
    return find_camera_images(src / "images", NAMES)


REFUSED: dict[str, tuple[str, Callable[[Path], CameraFiles], tuple[str, ...]]] = {
    "none": (r"there is no video[\s\S]*2 \.mts, 1 \.txt", _videos, ("videos/a.MTS", "videos/b.MTS", "videos/a.txt")),
    "a name of nobody": ("do not say which", _videos, ("videos/cam_01.mp4", "videos/cam_02.mp4", "videos/z.mp4")),
    "two of a camera": ("cam_01 has more than one", _videos, ("videos/cam_01.mp4", "videos/cam_01.mov")),
    "no pictures": ("no images", _images, ("images/cam_01/notes.txt",)),
    "a folder of nobody": ("do not say which", _images, ("images/cam_01/0.jpg", "images/right/0.jpg")),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_told_is_refused_with_what_was_found(tmp_path: Path, what: str) -> None:
    says, find, files = REFUSED[what]
    with pytest.raises(InputError, match=says) as caught:
        find(lay(tmp_path, *files))
    assert caught.value.found


def test_two_names_for_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two cameras"):
        find_videos(lay(tmp_path, "videos/cam-1.mp4"), {"cam1": ("cam1",), "cam_1": ("cam_1",)})


def test_a_link_that_leads_out_of_the_capture_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, "elsewhere/cam_01.mp4", "src/videos/cam_02.mp4")
    (tmp_path / "src/videos/cam_01.mp4").symlink_to(tmp_path / "elsewhere/cam_01.mp4")
    with pytest.raises(InputError, match="outside"):
        find_videos(tmp_path / "src", NAMES)


def test_a_linked_folder_in_a_cameras_folder_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, "elsewhere/0.jpg", "src/images/cam_02/0.jpg")
    (tmp_path / "src/images/cam_01").mkdir()
    (tmp_path / "src/images/cam_01/rgb").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="outside"):
        find_camera_images(tmp_path / "src/images", NAMES)


def test_pictures_lie_in_folders_of_any_depth(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "images/Cam1/0.JPG",
        "images/cam_02/rgb/full/0.png",
        "images/cam_03/0.jpeg",
        "images/._cam_03/0.jpg",
    )
    found = find_camera_images(tmp_path / "images", NAMES)
    assert [path.name for path in found.files.values()] == ["Cam1", "cam_02", "cam_03"]


def test_contents_are_counted_by_endings(tmp_path: Path) -> None:
    lay(tmp_path, "a.HEIC", "b/c.heic", ".DS_Store", "README")
    assert say_contents(tmp_path) == "2 .heic, 1 without an ending"
    assert say_contents(tmp_path / "none") == "no such folder"


@pytest.mark.parametrize(
    ("names", "moments"),
    [
        (("0007.jpg", "0008.jpg", "0010.jpg"), [0, 1, 3]),
        (("f_10.jpg", "f_20.jpg", "f_30.jpg", "f_50.jpg"), [0, 1, 2, 4]),
        (("1305031102.jpg", "1305031902.jpg", "1305032001.jpg"), [0, 1, 2]),
        (("a.jpg", "b.jpg"), [0, 1]),
    ],
)  # fmt: skip
def test_gaps_in_the_numbers_are_gaps_in_time(
    tmp_path: Path, names: tuple[str, ...], moments: list[int]
) -> None:
    """At a rate a missing picture is a missing moment; numbers that leave most out are no count."""
    found = match_moments({camera: [tmp_path / camera / name for name in names] for camera in "AB"})
    assert [list(one) for one in found.values()] == [moments, moments]


def test_the_number_that_is_the_moments_may_stand_anywhere(tmp_path: Path) -> None:
    """VHAP's images/TTTTT_CC.png."""
    found = match_moments({f"{c}": [tmp_path / f"{t:05d}_{c:02d}.png" for t in range(3)] for c in range(2)})
    assert [path.name for path in found["1"].values()] == ["00000_01.png", "00001_01.png", "00002_01.png"]
    with pytest.raises(InputError, match="cannot be told"):
        match_moments(
            {"A": [tmp_path / "x.png", tmp_path / "y.png"], "B": [tmp_path / "v.png", tmp_path / "w.png"]}
        )
