"""Writes a rigged splat avatar, FILE.avatar: what `rigged_reader` reads (docs/avatar-format.md).

Numbers are stored in 16 bits where that is finer than anything that can be seen; the largest error of each is in the
tests. Every array is deflated after its bytes were sorted by significance, which makes a third less of them than
deflating alone does.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.avatar import Avatar, BodyRig
from simulacra.render.body.records import BodyPose
from simulacra.render.export import rigged_reader
from simulacra.render.export.rigged_reader import MAGIC, MOST_INFLUENCES, START, TYPES, VERSION
from simulacra.render.gaussians.record import OUTLINE_EPS2D, Gaussians, Mode
from simulacra.render.rotation import quat_normalize, rigid_inverse
from simulacra.render.runtime.whole_files import sync, whole_file

ALIGNMENT = 8  # bytes
LEAST_MOVE = 2e-6  # metres: less than half a step of the stored offsets of a strong action
ENDING = ".avatar"
# What players have no use for.
UNPLAYED = ("gaussians.seen", "binding.faces", "binding.barycentrics")


@dataclass(frozen=True)
class RiggedAvatar:
    """What goes into a file.

    Attributes:
        avatar: the Gaussians at rest, and where they hang.
        rig: of the avatar's own shape and binding (`rig_body`).
        neutral: the pose of one frame in which it is first shown.
        motion: further poses; None if it brings none.
        fps: pictures a second of the motion.
        mode: in which the avatar was trained.
        eps2d: with which it was trained, px^2.
    """

    avatar: Avatar
    rig: BodyRig
    neutral: BodyPose
    motion: BodyPose | None = None
    fps: float = 30.0
    mode: Mode = "classic"
    eps2d: float = OUTLINE_EPS2D


def write_rigged(path: Path, content: RiggedAvatar, *, binding: bool = True) -> int:
    """Writes the file atomically and reads it back. Returns its size in bytes.

    Args:
        binding: with the faces of the body that the Gaussians hang on, and what was seen; players do not need them.

    Raises:
        OSError: the place cannot be written.
        RuntimeError: what was written cannot be read: a bug of ours, or numbers that are not finite.
    """
    packed = pack_rigged(content, binding=binding)
    with whole_file(path) as stream:
        stream.write(packed)
    sync(path.parent)
    return len(packed)


def pack_rigged(content: RiggedAvatar, *, binding: bool = True) -> bytes:
    """The bytes of the file, which were read back.

    Raises:
        RuntimeError: as `write_rigged`.
    """
    entries = _entries(content)
    if not binding:
        entries = {name: entry for name, entry in entries.items() if name not in UNPLAYED}
    packed = pack_arrays(header_of(content), entries)
    try:
        rigged_reader.parse_avatar(packed)
    except rigged_reader.AvatarFileError as error:
        raise RuntimeError(f"an avatar cannot be read back: {error}") from error
    return packed


def header_of(content: RiggedAvatar) -> dict[str, Any]:
    """What a file says besides its arrays."""
    body = content.rig.body
    return {
        "format": "avatar",
        "generator": f"simulacra {metadata.version('simulacra')}",
        "rendering": {"mode": content.mode, "eps2d": content.eps2d},
        "bones": list(body.bone_names),
        "actions": list(body.expression_names),
        "fps": content.fps,
        "topology": {"name": "anny", "faces": len(body.faces)},
    }


@dataclass(frozen=True)
class Stored:
    """An array as it lies in the file; what it means is ``values * scale + zero``.

    Attributes:
        values: as they are stored.
        scale: of them; None where whole numbers are meant.
        zero: added to them.
        codec: of its own, where it is another than its file's.
    """

    values: np.ndarray
    scale: float | list[float] | None = None
    zero: float | list[float] = 0.0
    codec: str | None = None


def pack_arrays(header: dict[str, Any], arrays: dict[str, Stored], codec: str = "shuffle+deflate") -> bytes:
    """The bytes of a file with this header and these arrays, of which nothing is checked."""
    kinds = {np.dtype(kind): name for name, kind in TYPES.items()}
    listed, data = {}, bytearray()
    for name, array in arrays.items():
        values = np.ascontiguousarray(array.values)
        stored, own = values.tobytes(), array.codec or codec
        if own == "shuffle+deflate":
            stored = np.frombuffer(stored, np.uint8).reshape(-1, values.itemsize).T.tobytes()
        if own != "raw":
            stored = zlib.compress(stored, 9)
        data += bytes(-len(data) % ALIGNMENT)
        listed[name] = {
            "dtype": kinds[values.dtype],
            "shape": list(values.shape),
            "codec": own,
            "offset": len(data),
            "bytes": len(stored),
            "crc32": zlib.crc32(stored),
        }
        if array.scale is not None:
            listed[name] |= {"scale": array.scale, "zero": array.zero}
        data += stored
    text = json.dumps({**header, "data_bytes": len(data), "arrays": listed}, separators=(",", ":")).encode()
    start = START.pack(MAGIC, VERSION, len(text), zlib.crc32(text), 0)
    return start + text + bytes(-(START.size + len(text)) % ALIGNMENT) + bytes(data)


def _entries(content: RiggedAvatar) -> dict[str, Stored]:
    avatar, rig = content.avatar, content.rig
    entries = _gaussians(avatar.gaussians) | _skin(rig) | bones_of(rig) | _actions(rig)
    if avatar.seen_share is not None:
        entries["gaussians.seen"] = unit(avatar.seen_share)
    entries |= {
        "binding.faces": Stored(avatar.binding.faces.numpy().astype("<u4")),
        "binding.barycentrics": unit(avatar.binding.barycentrics),
    }
    return entries | poses_of(content)


def poses_of(content: RiggedAvatar) -> dict[str, Stored]:
    """The neutral pose and the motion."""
    entries: dict[str, Stored] = {}
    poses = {"neutral": row(content.neutral)}
    if content.motion is not None:
        poses["motion"] = content.motion
    for group, pose in poses.items():
        rotations, translation, expression = (
            tensor[0] if group == "neutral" else tensor
            for tensor in (short_way(pose.rotations), pose.translation, pose.expression)
        )
        entries[f"{group}.rotations"] = signed(rotations)
        entries[f"{group}.translation"] = Stored(translation.numpy().astype("<f4"))
        entries[f"{group}.expression"] = unit(expression)
    return entries


def _gaussians(gaussians: Gaussians) -> dict[str, Stored]:
    return {
        "gaussians.means": _between(gaussians.means),
        "gaussians.quats": signed(quat_normalize(gaussians.quats)),
        "gaussians.log_scales": _between(gaussians.log_scales),
        "gaussians.opacities": unit(torch.sigmoid(gaussians.logit_opacities)),
        "gaussians.sh": _between(gaussians.sh),
    }


def _skin(rig: BodyRig) -> dict[str, Stored]:
    """The strongest influences; their weights in 65535ths that sum to it."""
    weights = rig.influences.weights[:, :MOST_INFLUENCES].double()
    weights = weights / weights.sum(1, keepdim=True)
    whole = torch.floor(weights * 65535).long()
    whole[:, 0] += 65535 - whole.sum(1)
    bones = torch.where(whole > 0, rig.influences.bones[:, :MOST_INFLUENCES].long(), 0)
    kind = "|u1" if len(rig.body.bone_names) <= 256 else "<u2"
    return {
        "skin.bones": Stored(bones.numpy().astype(kind)),
        "skin.weights": Stored(whole.numpy().astype("<u2"), 1 / 65535),
    }


def bones_of(rig: BodyRig) -> dict[str, Stored]:
    """Where each bone's head is at zero pose, and what the zero pose does to the rest pose."""
    zero = rig.body.pose(rig.rest, rig.body.zero_pose(), vertices=torch.zeros(0, dtype=torch.long))
    frames = zero.T_world_bone[0].double()
    bind = frames @ rigid_inverse(rig.rest.T_world_bone.double())
    return {
        "rig.parents": Stored(rig.body.bone_parents.numpy().astype("<i2")),
        "rig.heads": Stored(frames[:, :3, 3].numpy().astype("<f4")),
        "rig.bind": Stored(bind[:, :3].numpy().astype("<f4")),
    }


def _actions(rig: BodyRig) -> dict[str, Stored]:
    """Of each facial action the Gaussians that it moves, and by how much."""
    which, offsets = [], []
    for moved in rig.acted_offsets:
        some = moved.abs().amax(1) > LEAST_MOVE if len(moved) else torch.zeros(0, dtype=torch.bool)
        which.append(rig.acted[some])
        offsets.append(moved[some])
    starts = np.cumsum([0, *map(len, which)])
    return {
        "actions.starts": Stored(starts.astype("<u4")),
        "actions.gaussians": Stored(torch.cat(which).numpy().astype("<u4")),
        "actions.offsets": signed(torch.cat(offsets)),
    }


def row(pose: BodyPose) -> BodyPose:
    if len(pose.translation) != 1:
        raise ValueError(f"a neutral pose is of one frame, not {len(pose.translation)}")
    return pose


def short_way(rotations: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """The same rotations by at most half a turn."""
    angle = rotations.norm(dim=-1, keepdim=True)
    turns = torch.round(angle / (2 * torch.pi)) * 2 * torch.pi
    return torch.where(angle > torch.pi, rotations * (1 - turns / angle.clamp_min(1e-6)), rotations)


def _between(values: Float[Tensor, "*b c"]) -> Stored:
    """65536 steps from the least to the greatest of each column."""
    flat = values.detach().double().numpy()
    axes = tuple(range(flat.ndim - 1))
    low, high = flat.min(axes), flat.max(axes)
    step = np.maximum((high - low) / 65535, 1e-12)
    return Stored(np.round((flat - low) / step).astype("<u2"), step.tolist(), low.tolist())


def signed(values: Float[Tensor, "*b"]) -> Stored:
    """32767 steps to either side, to the greatest of all."""
    flat = values.detach().double().numpy()
    most = max(float(np.abs(flat).max(initial=0.0)), 1e-6)
    return Stored(np.round(flat / most * 32767).astype("<i2"), most / 32767)


def unit(values: Float[Tensor, "*b"]) -> Stored:
    """65535 steps from 0 to 1."""
    flat = values.detach().double().clamp(0, 1).numpy()
    return Stored(np.round(flat * 65535).astype("<u2"), 1 / 65535)
