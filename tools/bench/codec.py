"""Compressed avatars against other small formats: bytes, and what is left of the pictures.

An avatar is stored in each format at rest, read back, and drawn in three poses: standing, as in the first frame of its
capture with the mouth open, and in a gesture of arms, knees and head. The whole body and a close-up of the head are
compared with the uncompressed avatar in the same poses, on black; decibels are of the mean squared error of the three.
SPZ, SOG and PLY hold no binding: they are given the avatar's own for nothing, Gaussian by Gaussian, and beside their
bytes stands what they weigh with one (faces and two barycentrics of 8 bits, deflated).
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.avatar.animate import camera_for
from simulacra.recon.avatar.finished import FinishedAvatar, open_avatar
from simulacra.render.avatar import Avatar, Binding, drive, rig_body
from simulacra.render.body import BodyPose
from simulacra.render.camera import Cameras, look_at
from simulacra.render.export.codec.profiles import PROFILES
from simulacra.render.export.compressed import pack_compressed, read_compressed
from simulacra.render.export.packed import packed_bytes
from simulacra.render.export.ply import ply_bytes
from simulacra.render.export.rigged import RiggedAvatar, pack_rigged
from simulacra.render.export.rigged_reader import parse_avatar
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_gaussians
from simulacra.tools.bench.printing import Column, print_rows
from simulacra.tools.bench.read_back import READERS

SIZE = 512
HEAD_FOCAL, HEAD_DISTANCE = 900.0, 0.9  # pixels, metres
JAW = 0.6
GESTURE: Mapping[str, tuple[float, float, float]] = {
    "upperarm01.L": (0.0, 0.0, 0.9),
    "lowerarm01.L": (0.0, -1.2, 0.0),
    "upperarm01.R": (-0.8, 0.0, 0.0),
    "upperleg01.L": (-0.7, 0.0, 0.0),
    "lowerleg01.L": (1.1, 0.0, 0.0),
    "neck01": (0.0, 0.3, 0.0),
    "head": (0.15, 0.25, 0.0),
}


@dataclass(frozen=True)
class Row:
    """One format.

    Attributes:
        run: name of the avatar's.
        format: name.
        count: of Gaussians.
        bytes: of the file.
        bytes_with_binding: with what is needed to move it, but for the body itself.
        bits: a Gaussian, of these.
        body_db: of the whole body in three poses.
        head_db: of the head.
        decode_ms: processor time of reading it, one thread, the median of three; None where another library reads it or
            where a body is evaluated first.
    """

    run: str
    format: str
    count: int
    bytes: int
    bytes_with_binding: int
    bits: float
    body_db: float
    head_db: float
    decode_ms: float | None


@dataclass(frozen=True)
class Views:
    """Poses, each with the cameras that see the whole person and the head."""

    poses: tuple[BodyPose, ...]
    cameras: tuple[tuple[Cameras, Cameras], ...]


def poses_to_show(avatar: FinishedAvatar) -> tuple[BodyPose, ...]:
    """Standing; as in the capture, mouth open; a gesture."""
    body, zero = avatar.body, avatar.body.zero_pose()
    captured = avatar.fit.pose_of(0)
    open_mouth, rotations = captured.expression.clone(), zero.rotations.clone()
    if "jawOpen" in body.expression_names:
        open_mouth[:, body.expression_names.index("jawOpen")] = JAW
    for name, turn in GESTURE.items():
        if name in body.bone_names:
            rotations[0, body.bone_names.index(name)] = torch.tensor(turn)
    return zero, replace(captured, expression=open_mouth), replace(zero, rotations=rotations)


def views_of(avatar: FinishedAvatar) -> Views:
    """Cameras that follow the person and the head."""
    body, poses = avatar.body, poses_to_show(avatar)
    bones = [body.bone_names.index(f"eye.{side}") for side in "LR"]
    head = body.bone_names.index("head")
    standing = body.pose(avatar.rig.rest, poses[0], vertices=body.soles[:1]).T_world_bone[0]
    eyes = standing[bones, :3, 3].mean(0)
    away = eyes + torch.tensor([0.1, 0.05, HEAD_DISTANCE])
    cameras = []
    for pose in poses:
        moved = body.pose(avatar.rig.rest, pose, vertices=body.soles[:1]).T_world_bone[0, head]
        carried = moved @ torch.linalg.inv(standing[head])
        eye, at = (carried[:3, :3] @ point + carried[:3, 3] for point in (away, eyes))
        cameras.append(
            (camera_for(avatar, pose, SIZE, SIZE), look_at(eye[None], at[None], HEAD_FOCAL, SIZE, SIZE))
        )
    return Views(poses, tuple(cameras))


def pictures(avatar: FinishedAvatar, binding: Binding, gaussians: Gaussians, views: Views) -> Tensor:
    """``poses 2 h w 3``, premultiplied."""
    rig = rig_body(avatar.body, avatar.avatar.shape, binding)
    held, found = Avatar(avatar.avatar.shape, binding, gaussians), []
    with torch.no_grad():
        for pose, cameras in zip(views.poses, views.cameras, strict=True):
            posed = drive(held, rig, pose)
            drawn = [rasterize_gaussians(posed, each, eps2d=OUTLINE_EPS2D).rgb_premul[0] for each in cameras]
            found.append(torch.stack(drawn))
    return torch.stack(found)


def decibels(truth: Tensor, drawn: Tensor) -> tuple[float, float]:
    """Of the body and of the head."""
    errors = (truth - drawn).square().mean((0, 2, 3, 4))
    body, head = (-10 * torch.log10(errors + 1e-12)).tolist()
    return body, head


def measure(avatar: FinishedAvatar, name: str) -> list[Row]:
    """All formats of one avatar.

    Args:
        avatar: of a run.
        name: of the run.
    """
    views, own = views_of(avatar), avatar.avatar
    truth = pictures(avatar, own.binding, own.gaussians, views)
    rows = []

    def add(
        form: str, size: int, whole: int, binding: Binding, gaussians: Gaussians, ms: float | None
    ) -> None:
        db = decibels(truth, pictures(avatar, binding, gaussians, views))
        count = len(gaussians)
        rows.append(Row(name, form, count, size, whole, 8 * whole / count, *db, ms))

    content = RiggedAvatar(own, avatar.rig, avatar.body.zero_pose())
    packed = pack_rigged(content)
    read = parse_avatar(packed).arrays
    logits = torch.logit(torch.from_numpy(read["gaussians.opacities"]).double().clamp(1e-7, 1 - 1e-7)).float()
    means, quats, log_scales, sh = (
        torch.from_numpy(read[f"gaussians.{part}"]) for part in ("means", "quats", "log_scales", "sh")
    )
    stored = Gaussians(means, quats, log_scales, logits, sh)
    add("avatar", len(packed), len(packed), own.binding, stored, _milliseconds(lambda: parse_avatar(packed)))
    for form in ("ply", "spz", "sog"):
        add(form, *_other(form, own), None)
    for profile, steps in PROFILES.items():
        named = pack_compressed(content, steps, whole_body=False)
        found = read_compressed(named, avatar.body)
        packed = pack_compressed(content, steps)
        ms = _milliseconds(lambda packed=packed: read_compressed(packed))
        label = f"{profile}, with its body"
        add(label, len(packed), len(packed), found.binding, found.gaussians, ms)
        size, of_named = len(named), rows[-1]
        rows.append(
            replace(
                of_named,
                format=f"{profile}, body named",
                bytes=size,
                bytes_with_binding=size,
                bits=8 * size / of_named.count,
                decode_ms=None,
            )
        )
    return rows


def _other(form: str, own: Avatar) -> tuple[int, int, Binding, Gaussians]:
    """Bytes, bytes with a binding, and what another format holds of an avatar, in whatever order."""
    if form == "ply":
        packed = ply_bytes(own.gaussians, "y-up")
    else:
        packed = packed_bytes(own.gaussians, "spz" if form == "spz" else "sog", "y-up")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"avatar.{form}"
        path.write_bytes(packed)
        back = READERS[form](path)
    _, which = cKDTree(_features(own.gaussians)).query(_features(back))
    binding = own.binding[torch.from_numpy(which)]
    faces = zlib.compress(binding.faces.numpy().astype("<u2").tobytes(), 9)
    at = zlib.compress((binding.barycentrics[:, :2] * 255).round().numpy().astype("u1").tobytes(), 9)
    return len(packed), len(packed) + len(faces) + len(at), binding, back


def _features(gaussians: Gaussians) -> np.ndarray:
    """By which a Gaussian is found again."""
    scales = gaussians.log_scales.sort(dim=1)[0]
    found: np.ndarray = torch.cat([gaussians.means * 1000, gaussians.sh[:, 0], scales], 1).numpy()
    return found


def _milliseconds(work: object) -> float:
    """Processor time of the calling thread, the median of three after one unmeasured."""
    assert callable(work)
    spent = []
    for _ in range(4):
        begun = time.thread_time()
        work()
        spent.append(1e3 * (time.thread_time() - begun))
    return float(np.median(spent[1:]))


COLUMNS = (
    Column("run", lambda row: row.run, "left"),
    Column("format", lambda row: row.format, "left"),
    Column("Gaussians", lambda row: str(row.count)),
    Column("kB", lambda row: f"{row.bytes / 1000:.0f}"),
    Column("kB with binding", lambda row: f"{row.bytes_with_binding / 1000:.0f}"),
    Column("bits a Gaussian", lambda row: f"{row.bits:.1f}"),
    Column("body, dB", lambda row: f"{row.body_db:.1f}"),
    Column("head, dB", lambda row: f"{row.head_db:.1f}"),
    Column("decode, ms", lambda row: "" if row.decode_ms is None else f"{row.decode_ms:.0f}"),
)


def run(*, runs: tuple[Path, ...], as_json: bool) -> None:
    """Prints the table of these runs' avatars."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for path in runs for row in measure(open_avatar(path), path.name)]
    finally:
        torch.set_num_threads(threads)
    print_rows(rows, COLUMNS, "compressed avatars", as_json)
