"""What a capture is: a table of sniffers, a row a layout, each of which looks for what its program leaves.

The most confident rows that find something count. Where those are several, what it is has to be said; where nothing is
found in the folder itself, the captures in its sub-folders are looked for. A row may propose values for the options
that its import has to be told: the files do not say them, so that they are shown and not taken.

A new layout adds its row to `SNIFFERS`, and whatever it looks for as a function here or in its own file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simulacra.recon.importers import (
    azure_kinect,
    opencap,
    panoptic,
    realsense,
    record3d,
    stray_scanner,
    zju_mocap,
)
from simulacra.recon.importers.caliscope import CALIBRATION_FILE
from simulacra.recon.importers.color_depth_files import COLOR_FOLDERS, DEPTH_FOLDERS
from simulacra.recon.importers.finding import (
    MEDIA_FOLDERS,
    folder_named,
    list_videos,
    say_contents,
    video_folder,
)
from simulacra.recon.importers.footage import VIDEO_ENDINGS, list_images, visible
from simulacra.recon.importers.pose2sim import is_camera_table
from simulacra.recon.importers.proposals import color_depth_words, rig_words
from simulacra.recon.session import SESSION_FILE
from simulacra.render.runtime.errors import InputError

# certain: a file that only this program writes. likely: names that others could have too. possible: mere pictures.
Confidence = Literal["possible", "likely", "certain"]
ORDER: tuple[Confidence, ...] = ("possible", "likely", "certain")
# Levels of sub-folders in which captures are looked for.
DEEPEST = 3
HEAD_BYTES = 1 << 16
# Files of a folder that are looked into, and JPEG files among them.
MOST_FILES = 50
MOST_PORTRAITS = 3
PORTRAIT_ENDINGS = (".heic", ".heif")
# Of Apple's depth in a JPEG file: in the XMP of its second image, behind the first.
APPLE_DEPTH = b"ns.apple.com/depthData"
MOST_BYTES = 32 << 20


@dataclass(frozen=True)
class Sniffer:
    """How one layout is known.

    Attributes:
        layout: as `simulacra import` calls it.
        looks_for: what, in words.
        sniff: what of it is in a folder, or is a file: in words, or None.
        confidence: how sure that makes.
        propose: words for the command line of what the files do not say.
    """

    layout: str
    looks_for: str
    sniff: Callable[[Path], str | None]
    confidence: Confidence
    propose: Callable[[Path], Sequence[str]] = lambda src: ()


@dataclass(frozen=True)
class Sighting:
    """A capture that was found.

    Attributes:
        sniffer: that found it.
        src: what to import: the folder, or a file or folder in it.
        reason: what was seen there.
    """

    sniffer: Sniffer
    src: Path
    reason: str


def find_capture(src: Path) -> list[Sighting]:
    """What a folder or file is: one sighting, or those that it could be; none where nothing is known of it.

    Raises:
        InputError: it is not there.
    """
    if not src.exists():
        raise InputError("there is no such capture", where=src, expected="a folder, or a file")
    direct = sniff_layouts(src) if src.is_file() else _sniff_folder(src)
    if src.is_file() or _sure(direct):
        return direct
    level = [src]
    for _ in range(DEEPEST):
        level = [
            path for folder in level for path in visible(folder) if path.is_dir() and not path.is_symlink()
        ]
        if found := _sure([one for path in level for one in _sniff_folder(path)]):
            return found
    return direct


def _sure(found: Sequence[Sighting]) -> list[Sighting]:
    return [one for one in found if one.sniffer.confidence != "possible"]


def _sniff_folder(folder: Path) -> list[Sighting]:
    """Of a folder; or of a file in it that is a capture, or of its only one that could be."""
    direct = sniff_layouts(folder)
    if _sure(direct):
        return direct
    inner = [path for path in visible(folder) if path.is_file()]
    # Portraits are read through for their depth: hundreds of images in a folder are none.
    jpegs = [path for path in inner if path.suffix.lower() in (".jpg", ".jpeg")]
    looked = [path for path in inner[:MOST_FILES] if path not in jpegs or len(jpegs) <= MOST_PORTRAITS]
    files = [one for path in looked for one in sniff_layouts(path)]
    return _sure(files) or direct or (files if len(files) == 1 else [])


def sniff_layouts(src: Path) -> list[Sighting]:
    """The sightings in a folder itself, or of a file, that are the most certain."""
    found = [Sighting(one, src, reason) for one in SNIFFERS if (reason := one.sniff(src)) is not None]
    best = max((ORDER.index(one.sniffer.confidence) for one in found), default=0)
    return [one for one in found if ORDER.index(one.sniffer.confidence) == best]


def say_unknown(src: Path) -> InputError:
    """The error of a folder or file that no sniffer knows."""
    if (src / SESSION_FILE).is_file():
        return InputError("this is a session already", where=src, remedy=f"simulacra check {src}")
    return InputError(
        "what kind of capture this is cannot be told",
        where=src,
        found=say_contents(src) if src.is_dir() else f"a file {src.name}",
        expected="a folder or file of one of these layouts:" + "".join(map(_row, SNIFFERS)),
        remedy="give the folder in which all of a capture lies; or say what it is: simulacra import LAYOUT SRC SESSION",
    )


def _row(sniffer: Sniffer) -> str:
    return f"\n    {sniffer.layout:14s} {sniffer.looks_for}"


# -- what they look for ----------------------------------------------------------------------------


def _files(*names: str) -> Callable[[Path], str | None]:
    """All of these files, in any case."""

    def sniff(src: Path) -> str | None:
        there = {path.name.lower(): path.name for path in visible(src) if path.is_file()}
        return ", ".join(there[name] for name in names) if all(name in there for name in names) else None

    return sniff


def _folders(*names: str) -> Callable[[Path], str | None]:
    """All of these folders, in any case."""

    def sniff(src: Path) -> str | None:
        found = [folder_named(src, (name,)) for name in names]
        return ", ".join(path.name for path in found if path) if all(found) else None

    return sniff


def _videos_with(fits: Callable[[Path], bool]) -> Callable[[Path], str | None]:
    """Videos, and a file in the capture's folder or in its ``calibration``."""

    def sniff(src: Path) -> str | None:
        places = (src, folder_named(src, ("calibration", "calib")))
        found = [
            path for place in places if place for path in visible(place) if path.is_file() and fits(path)
        ]
        return found[0].relative_to(src).as_posix() if found and list_videos(src) else None

    return sniff


def _is_camera_table(path: Path) -> bool:
    return path.suffix.lower() == ".toml" and path.name.lower() != CALIBRATION_FILE and is_camera_table(path)


def _sniff_nerfstudio(src: Path) -> str | None:
    if src.is_file():
        return src.name if src.suffix.lower() == ".json" and b'"frames"' in _head(src) else None
    named = [path.name for path in visible(src) if re.fullmatch(r"transforms.*\.json", path.name)]
    return named[0] if named else None


def _sniff_metashape(src: Path) -> str | None:
    files = [src] if src.is_file() else visible(src)
    found = [path.name for path in files if path.suffix.lower() == ".xml" and b"<chunk" in _head(path)]
    return found[0] if found else None


def _sniff_colmap(src: Path) -> str | None:
    sparse = folder_named(src, ("sparse",))
    for folder in (src, *((sparse, *visible(sparse)) if sparse else ())):
        for ending in (".bin", ".txt"):
            if all((folder / f"{name}{ending}").is_file() for name in ("cameras", "images")):
                return (folder / f"cameras{ending}").relative_to(src).as_posix()
    return None


def _sniff_color_depth(src: Path) -> str | None:
    """The capture's own two folders, or those of several cameras in it."""
    pairs = []
    for owner in (src, *(path for path in visible(src) if path.is_dir())):
        color, depth = folder_named(owner, COLOR_FOLDERS), folder_named(owner, DEPTH_FOLDERS)
        if color and depth and list_images(color) and list_images(depth):
            pairs.append(", ".join(path.relative_to(src).as_posix() for path in (color, depth)))
            if owner == src:
                return pairs[0]
    return f"{pairs[0]} and of {len(pairs) - 1} more cameras" if len(pairs) > 1 else None


def _sniff_truedepth(src: Path) -> str | None:
    if src.is_dir():
        return None
    if src.suffix.lower() in PORTRAIT_ENDINGS:
        return src.name
    if src.suffix.lower() in (".jpg", ".jpeg"):
        return f"depth in {src.name}" if APPLE_DEPTH in _head(src, MOST_BYTES) else None
    return None


def _sniff_videos(src: Path) -> str | None:
    videos = list_videos(video_folder(src)) if src.is_dir() else []
    return f"{len(videos)} videos" if len(videos) > 1 else None


def _sniff_images(src: Path) -> str | None:
    if src.is_file():
        return f"the video {src.name}" if src.suffix.lower() in VIDEO_ENDINGS else None
    root = folder_named(src, MEDIA_FOLDERS["images"]) or src
    folders = [path.name for path in visible(root) if path.is_dir() and list_images(path)]
    if folders:
        return f"{len(folders)} folders of images in {root.name}" if len(folders) > 1 else None
    count = len(list_images(root))
    return f"{count} images in {root.name}" if count > 2 else None


def _head(path: Path, most: int = HEAD_BYTES) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(most)
    except OSError:
        return b""


def words(*given: str) -> Callable[[Path], Sequence[str]]:
    """The same words, whatever the capture."""
    return lambda src: given


def _is_qualisys(path: Path) -> bool:
    return path.name.lower().endswith(".qca.txt")


# What a reconstruction's world has neither of.
_PLACED = words("--scale", "1", "--world-up", "cameras")
SNIFFERS: tuple[Sniffer, ...] = (
    Sniffer("rgbd-rig", "folders COLOR, PARAM", _folders("COLOR", "PARAM"), "certain", rig_words),
    Sniffer("qualisys", "videos, NAME.qca.txt", _videos_with(_is_qualisys), "certain"),
    Sniffer("caliscope", CALIBRATION_FILE, _files(CALIBRATION_FILE), "certain"),
    Sniffer(
        "opencv-yaml",
        "intri.yml, extri.yml",
        _files("intri.yml", "extri.yml"),
        "certain",
        words("--units", "m"),
    ),
    Sniffer("nerfstudio", "transforms.json", _sniff_nerfstudio, "certain", _PLACED),
    Sniffer("metashape", "an XML file of a chunk", _sniff_metashape, "certain", _PLACED),
    Sniffer("colmap", "cameras and images (.bin or .txt) in sparse", _sniff_colmap, "certain", _PLACED),
    Sniffer("panoptic", "calibration_NAME.json, hdVideos or hdImgs", panoptic.looks_like, "certain"),
    Sniffer("zju-mocap", "annots.npy", zju_mocap.looks_like, "certain"),
    Sniffer(
        "azure-kinect",
        "folders color and depth, the device's calibration JSON",
        azure_kinect.looks_like,
        "certain",
    ),
    Sniffer("realsense", "folders color and depth, JSON with ppx and ppy", realsense.looks_like, "certain"),
    Sniffer("record3d", "metadata beside rgb and depth", record3d.looks_like, "certain"),
    Sniffer("stray-scanner", "odometry.csv, camera_matrix.csv", stray_scanner.looks_like, "certain"),
    Sniffer("opencap", "cameraIntrinsicsExtrinsics.pickle", opencap.looks_like, "certain"),
    Sniffer("truedepth", "a .heic file, or a .jpg file with depth", _sniff_truedepth, "certain"),
    # Beside Qualisys' own file a table is a conversion of it, with next to no lens.
    Sniffer("pose2sim", "videos, a TOML file with cameras' tables", _videos_with(_is_camera_table), "likely"),
    Sniffer("color-depth", "folders color and depth", _sniff_color_depth, "likely", color_depth_words),
    Sniffer("videos", "a video for each camera", _sniff_videos, "possible", words("--board", "BOARD")),
    Sniffer("images", "a video file, or images", _sniff_images, "possible", words("--stature", "1.75")),
)
