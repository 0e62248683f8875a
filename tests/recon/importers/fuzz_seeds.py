"""Tiny valid captures of every layout, for `fuzzing` to damage.

A new importer adds one entry to `SEEDS`: how to write a capture into a folder, how to import it, and which of its files
are text (or binary calibration) and which are pictures or videos. Files are named by patterns of `Path.glob`.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulacra.recon.importers.azure_kinect import import_azure_kinect
from simulacra.recon.importers.caliscope import import_caliscope
from simulacra.recon.importers.colmap import import_colmap
from simulacra.recon.importers.color_depth import import_color_depth
from simulacra.recon.importers.metashape import import_metashape
from simulacra.recon.importers.nerfstudio import import_nerfstudio
from simulacra.recon.importers.opencap import import_opencap
from simulacra.recon.importers.opencv_yaml import import_opencv_yaml
from simulacra.recon.importers.options import (
    CaliscopeOptions,
    ColmapOptions,
    ColorDepthOptions,
    MetashapeOptions,
    NerfstudioOptions,
    OpencvYamlOptions,
    Pose2simOptions,
    QualisysOptions,
    RgbdRigOptions,
    TruedepthOptions,
    VideosOptions,
)
from simulacra.recon.importers.panoptic import import_panoptic
from simulacra.recon.importers.pose2sim import import_pose2sim
from simulacra.recon.importers.qualisys import import_qualisys
from simulacra.recon.importers.realsense import import_realsense
from simulacra.recon.importers.record3d import import_record3d
from simulacra.recon.importers.recorder_options import (
    AzureKinectOptions,
    OpencapOptions,
    PanopticOptions,
    RealsenseOptions,
    Record3dOptions,
    StrayScannerOptions,
    ZjuMocapOptions,
)
from simulacra.recon.importers.rgbd_rig import import_rgbd_rig
from simulacra.recon.importers.stray_scanner import import_stray_scanner
from simulacra.recon.importers.truedepth import import_truedepth
from simulacra.recon.importers.videos import import_videos
from simulacra.recon.importers.zju_mocap import import_zju_mocap
from simulacra.recon.session import load_session
from simulacra.render.runtime.errors import UserError
from tests.recon import ellipsoid_person
from tests.recon.importers import (
    depth_folders,
    foreign_captures,
    picture_seeds,
    portrait_seeds,
    reader_seeds,
    test_opencap,
    test_panoptic,
    test_phones,
    test_zju_mocap,
)


def read_session(folder: Path) -> str:
    """Loads the session and reads all that is in it; a file that cannot be read is a named error."""
    session = load_session(folder)
    for frame in session.frames[:4]:
        for camera in frame.sources:
            for read in (session.image, session.mask, session.depth):
                try:
                    read(frame.index, camera)
                except UserError:
                    return "session with a damaged file"
    session.reference_joints()
    return "session"


@dataclass(frozen=True)
class Seed:
    """A capture and its importer.

    Attributes:
        write: makes the capture in a folder that does not exist yet, or is empty.
        run: imports it (capture, session), with arguments under which the undamaged capture imports.
        calibration: files whose text (or numbers) mean something, by patterns below the capture.
        media: pictures, depth, masks and videos.
        read: what was made of it, by its folder; says in a word what that is.
    """

    write: Callable[[Path], object]
    run: Callable[[Path, Path], object]
    calibration: tuple[str, ...]
    media: tuple[str, ...]
    read: Callable[[Path], str] = read_session


def _write_trc(folder: Path) -> None:
    ellipsoid_person.write_qualisys(folder, cameras=1, frames=2)
    ellipsoid_person.write_trc(folder / "joints.trc", ["Hip", "Knee"], [0.0, 1 / 30], np.zeros((2, 2, 3)))


def _colmap_binary(folder: Path) -> None:
    """The text model of the tests, as binary files."""
    foreign_captures.write_colmap(folder, cameras=2, masks=True)
    model = folder / "sparse/0"
    cameras = [line.split() for line in (model / "cameras.txt").read_text().splitlines()[1:]]
    images = [line.split() for line in (model / "images.txt").read_text().splitlines()[1::2]]
    content = struct.pack("<Q", len(cameras))
    for words in cameras:
        content += struct.pack("<iiQQ4d", int(words[0]), 1, 96, 96, *map(float, words[4:]))
    (model / "cameras.bin").write_bytes(content)
    content = struct.pack("<Q", len(images))
    for words in images:
        content += struct.pack("<i7di", int(words[0]), *map(float, words[1:8]), int(words[8]))
        content += words[9].encode() + b"\0" + struct.pack("<Qddq", 1, 1.0, 2.0, -1)
    (model / "images.bin").write_bytes(content)
    for name in ("cameras.txt", "images.txt"):
        (model / name).unlink()


def _colmap_folders(folder: Path) -> None:
    foreign_captures.write_colmap(
        folder, cameras=2, frames=2, name_of=lambda camera, frame: f"{camera}/{frame}.png",
        model="OPENCV_FISHEYE", extra=(0.01, 0.0, 0.0, 0.0),
    )  # fmt: skip


def _nerfstudio(folder: Path) -> None:
    foreign_captures.write_nerfstudio(
        folder, cameras=2, frames=2, timed=True, masks=True, depth=1000.0, depth_unit_scale_factor=0.001,
        applied_transform=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], k1=0.01,
    )  # fmt: skip


def _write_session(video: bool) -> Callable[[Path], object]:
    """A session itself, with reference joints: what is fuzzed is how it is loaded and read."""

    def write(folder: Path) -> None:
        folder.rmdir()
        ellipsoid_person.synthetic_session(folder, cameras=2, frames=2, video=video, depth=not video)
        described = json.loads((folder / "session.json").read_text())
        (folder / "reference").mkdir()
        joints, names = np.zeros((2, 1, 3)), np.array(["Hip"])
        np.savez(folder / "reference/joints.npz", names=names, frames=np.arange(2), joints=joints)
        described["reference"] = "reference/joints.npz"
        described["cameras"][0].update(lens_model="radial_table", distortion=[0.0, 0.0, 1.0, 1.0, 1.01, 1.02])
        (folder / "session.json").write_text(json.dumps(described, indent=1))

    return write


def _read_session(src: Path, session: Path) -> None:
    """Reads all of it, and then hands over a copy without links."""
    loaded = load_session(src)
    loaded.fingerprint()
    loaded.reference_joints()
    for frame in loaded.frames[:4]:
        for camera in frame.sources:
            for read in (loaded.image, loaded.mask, loaded.depth):
                read(frame.index, camera)
    for camera in loaded.camera_names:
        for _ in loaded.iter_images(camera, [k for k in loaded.frame_indices[:4] if loaded.has(k, camera)]):
            pass

    def odd(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (path := Path(folder, name)).is_symlink() or path.is_fifo()]

    shutil.copytree(src, session, ignore=odd)


def _metashape(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    foreign_captures.write_metashape(folder, cameras=2, b2=0.1, k1=-0.05, k4=0.001, p1=0.001)


def _realsense(folder: Path) -> None:
    depth_folders.write_separate(folder)
    path = folder / "calibration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "depth_scale": 0.001}))


def _azure_kinect(folder: Path) -> None:
    """Open3D's recorder's: images of the device's own modes are large."""
    depth_folders.write_aligned(folder)
    path = folder / "camera_intrinsic.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "depth_mode": "NFOV_UNBINNED"}))


SEEDS: dict[str, Seed] = {
    "session": Seed(
        _write_session(False),
        _read_session,
        ("session.json", "reference/*"),
        ("images/*/*", "masks/*/*", "depth/*/*"),
    ),
    "session-video": Seed(_write_session(True), _read_session, ("session.json",), ("videos/*", "masks/*/*")),
    "rgbd-rig": Seed(
        lambda folder: ellipsoid_person.write_rgbd_rig(folder, cameras=2, size=32),
        lambda src, session: import_rgbd_rig(
            src, session, RgbdRigOptions(depth_scale=10000.0, world_up="+y")
        ),
        ("PARAM/*/*.npy",),
        ("COLOR/*/*", "DEPTH/*/*", "MASK/*/*"),
    ),
    "qualisys": Seed(
        _write_trc,
        lambda src, session: import_qualisys(src, session, QualisysOptions(reference=src / "joints.trc")),
        ("calibration/*", "joints.trc"),
        ("videos/*",),
    ),
    "caliscope": Seed(
        lambda folder: ellipsoid_person.write_caliscope(folder, cameras=2, frames=2),
        lambda src, session: import_caliscope(src, session, CaliscopeOptions(world_up="+z")),
        ("camera_array.toml", "calibration/extrinsic/*.csv"),
        ("calibration/extrinsic/*.mp4",),
    ),
    "opencv-yaml": Seed(
        lambda folder: foreign_captures.write_easymocap(folder, cameras=2, frames=2),
        lambda src, session: import_opencv_yaml(src, session, OpencvYamlOptions(units="m", world_up="+z")),
        ("*.yml",),
        ("images/*/*",),
    ),
    "pose2sim": Seed(
        lambda folder: foreign_captures.write_pose2sim(folder, cameras=2, frames=2),
        lambda src, session: import_pose2sim(src, session, Pose2simOptions()),
        ("calibration/*",),
        ("videos/*",),
    ),
    "colmap": Seed(
        _colmap_folders,
        lambda src, session: import_colmap(
            src, session, ColmapOptions(scale=1.0, world_up="+z", layout="cameras")
        ),
        ("sparse/0/*",),
        ("images/*/*",),
    ),
    "colmap-binary": Seed(
        _colmap_binary,
        lambda src, session: import_colmap(src, session, ColmapOptions(scale=1.0, world_up="+z")),
        ("sparse/0/*",),
        ("images/*", "masks/*"),
    ),
    "nerfstudio": Seed(
        _nerfstudio,
        lambda src, session: import_nerfstudio(src, session, NerfstudioOptions(scale=1.0, world_up="+z")),
        ("transforms.json",),
        ("images/*/*", "masks/*/*", "depths/*/*"),
    ),
    "nerfstudio-vhap": Seed(
        foreign_captures.write_vhap,
        lambda src, session: import_nerfstudio(src, session, NerfstudioOptions(scale=1.0, world_up="+z")),
        ("transforms.json",),
        ("images/*", "masks/*"),
    ),
    "videos": Seed(
        foreign_captures.write_calibrated_videos,
        lambda src, session: import_videos(src, session, VideosOptions()),
        ("board/calibration.json",),
        ("*.mp4",),
    ),
    "metashape": Seed(
        _metashape,
        lambda src, session: import_metashape(src, session, MetashapeOptions(scale=1.0, world_up="+z")),
        ("cameras.xml",),
        ("images/*",),
    ),
    "truedepth-jpeg": Seed(
        lambda folder: portrait_seeds.write_whole(folder, "jpg"),
        lambda src, session: import_truedepth(src / "portrait.jpg", session, TruedepthOptions()),
        ("portrait.jpg",),
        ("portrait.jpg",),
    ),
    "truedepth-heic": Seed(
        lambda folder: portrait_seeds.write_whole(folder, "heic"),
        portrait_seeds.import_heic,
        ("portrait.heic",),
        ("portrait.heic",),
    ),
    "truedepth-metadata": Seed(
        portrait_seeds.write_parts,
        portrait_seeds.import_parts,
        ("depth.xmp", "note.exif", "colors.icc"),
        ("note.exif",),
    ),
    "color-depth": Seed(
        lambda folder: depth_folders.write_rig(folder),
        lambda src, session: import_color_depth(
            src, session, ColorDepthOptions(depth_scale=1000.0, depth_is="aligned", units="m", world_up="+y")
        ),
        ("*/camera_intrinsic.json",),
        ("*/color/*", "*/depth/*"),
    ),
    "color-depth-separate": Seed(
        lambda folder: depth_folders.write_separate(folder),
        lambda src, session: import_color_depth(
            src, session, ColorDepthOptions(depth_scale=1000.0, depth_is="separate")
        ),
        ("calibration.json",),
        ("color/*", "depth/*"),
    ),
    "color-depth-times": Seed(
        lambda folder: depth_folders.write_tum(folder, frames=2),
        lambda src, session: import_color_depth(
            src,
            session,
            ColorDepthOptions(depth_scale=5000.0, depth_is="aligned", matches="associations.txt"),
        ),
        ("associations.txt", "camera_intrinsic.json"),
        ("rgb/*", "depth/*"),
    ),
    "images": Seed(picture_seeds.write_pictures, picture_seeds.run, ("*.jpg",), ("*.png", "*.jpg")),
    "images-video": Seed(
        picture_seeds.write_film,
        lambda src, session: picture_seeds.run(src / "film.mp4", session),
        ("film.mp4",),
        ("film.mp4",),
    ),
    "bvh": Seed(
        reader_seeds.write_motion, reader_seeds.read_motion, ("*.bvh",), ("*.bvh",), reader_seeds.say
    ),
    "ply": Seed(
        reader_seeds.write_gaussians, reader_seeds.read_gaussians, ("*.ply",), ("*.ply",), reader_seeds.say
    ),
    "panoptic": Seed(
        test_panoptic.write_panoptic,
        lambda src, session: import_panoptic(src, session, PanopticOptions()),
        ("calibration_*.json",),
        ("hdImgs/*/*",),
    ),
    "zju-mocap": Seed(
        test_zju_mocap.write_zju,
        lambda src, session: import_zju_mocap(src, session, ZjuMocapOptions(world_up="+z")),
        ("annots.npy",),
        ("Camera_*/*", "mask_cihp/*/*"),
    ),
    "azure-kinect": Seed(
        _azure_kinect,
        lambda src, session: import_azure_kinect(src, session, AzureKinectOptions()),
        ("camera_intrinsic.json",),
        ("color/*", "depth/*"),
    ),
    "realsense": Seed(
        _realsense,
        lambda src, session: import_realsense(src, session, RealsenseOptions()),
        ("calibration.json",),
        ("color/*", "depth/*"),
    ),
    "record3d": Seed(
        lambda folder: test_phones.write_export(folder, ellipsoid_person.ring(3), test_phones.npz),
        lambda src, session: import_record3d(src, session, Record3dOptions(still_person=True)),
        ("metadata.json", "depth/*"),
        ("rgb/*",),
    ),
    "stray-scanner": Seed(
        lambda folder: test_phones.write_scan(folder, ellipsoid_person.ring(3)),
        lambda src, session: import_stray_scanner(src, session, StrayScannerOptions(still_person=True)),
        ("odometry.csv", "camera_matrix.csv"),
        ("depth/*", "confidence/*", "rgb.mp4"),
    ),
    "opencap": Seed(
        lambda folder: test_opencap.write_opencap(folder, {"walk": "walk.mp4"}),
        lambda src, session: import_opencap(src, session, OpencapOptions(world_up="-y")),
        ("Videos/*/*.pickle",),
        ("Videos/*/*/*/*",),
    ),
    "images-rig": Seed(picture_seeds.write_rig, picture_seeds.run, ("images/*/*",), ("images/*/*",)),
}


def written(seed: Seed, folder: Path) -> Path:
    """The seed's capture in a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seed.write(folder)
    return folder
