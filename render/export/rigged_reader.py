"""Reads and poses a rigged splat avatar, FILE.avatar. This one file needs numpy and nothing else: copy it.

    avatar = read_avatar("person.avatar")
    posed = avatar.pose()                          # at rest in its neutral pose: means, quats, scales, opacities, sh
    posed = avatar.pose(**avatar.frame(12))        # a frame of the motion that it brings
    posed = avatar.pose(rotations, translation, expression)

The format is described in docs/avatar-format.md of simulacra. Metres, +Y up, quaternions wxyz. Symbols: ``n``
Gaussians, ``k`` coefficients of spherical harmonics (1, 4, 9, 16), ``m`` influences (at most 8), ``j`` bones, ``e``
facial actions, ``a`` moved Gaussians of all actions together, ``t`` frames.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"\x89AVATAR\n"
VERSION = 1
START = struct.Struct("<8sIIII")  # magic, version, length and CRC-32 of the header, zero
KNOWN: frozenset[str] = frozenset()  # extensions that this reader understands
MOST_BYTES = 1 << 30  # of one array
MOST_RATIO = 1100  # deflate makes nothing smaller than by this
MOST_INFLUENCES = 8
MOST_NUMBER = 1e12  # whose square is still a float32
TYPES = {"f32": "<f4", "u8": "|u1", "u16": "<u2", "u32": "<u4", "i8": "|i1", "i16": "<i2"}
WHOLE = ("skin.bones", "rig.parents", "actions.starts", "actions.gaussians", "binding.faces")
REQUIRED = """gaussians.means n 3; gaussians.quats n 4; gaussians.log_scales n 3; gaussians.opacities n;
    gaussians.sh n k 3; skin.bones n m; skin.weights n m; rig.parents j; rig.heads j 3; rig.bind j 3 4"""
OPTIONAL = """gaussians.seen n; binding.faces n; binding.barycentrics n 3; actions.starts e+1; actions.gaussians a;
    actions.offsets a 3; neutral.rotations j 3; neutral.translation 3; neutral.expression e;
    motion.rotations t j 3; motion.translation t 3; motion.expression t e"""
SHAPES = {name: axes for name, *axes in map(str.split, f"{REQUIRED}; {OPTIONAL}".split(";"))}


class AvatarFileError(ValueError):
    """The file is damaged, of another kind, or needs a reader that knows more."""


@dataclass(frozen=True)
class AvatarFile:
    """What a file holds, checked.

    Attributes:
        header: as it is written, without what is said of the arrays.
        arrays: by name, decoded: floats as float32, whole numbers as int64.
    """

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def bone_matrices(self, rotations: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """What each bone does to the rest pose, ``j 3 4``.

        Args:
            rotations: ``j 3``, axis-angle in radians: each bone is turned about its head, on top of its parent, in
                the axes of the world while nothing is turned.
            translation: ``3``, metres, of the bones without a parent.
        """
        parents, heads, bind = (self.arrays[f"rig.{name}"] for name in ("parents", "heads", "bind"))
        local = _rotation_matrices(np.asarray(rotations, np.float64))
        turned, placed = np.zeros((len(parents), 3, 3)), np.zeros((len(parents), 3))
        for bone, parent in enumerate(parents):  # a parent comes before its children
            if parent < 0:
                turned[bone], placed[bone] = local[bone], heads[bone] + translation
            else:
                turned[bone] = turned[parent] @ local[bone]
                placed[bone] = placed[parent] + turned[parent] @ (heads[bone] - heads[parent])
        matrices = turned @ bind
        matrices[:, :, 3] += placed - np.einsum("jab,jb->ja", turned, heads)
        return matrices

    def pose(
        self,
        rotations: np.ndarray | None = None,
        translation: np.ndarray | None = None,
        expression: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """The Gaussians in a pose: means ``n 3``, quats ``n 4``, scales ``n 3``, opacities ``n``, sh ``n k 3``.

        Args:
            rotations: as for `bone_matrices`; of the neutral pose where it is left out, like the others.
            translation: as for `bone_matrices`.
            expression: ``e``, how strong each action is, 0 to 1 in the order of ``header["actions"]``.
        """
        given = {"rotations": rotations, "translation": translation, "expression": expression}
        r, t, e = (self.arrays[f"neutral.{n}"] if v is None else np.asarray(v) for n, v in given.items())
        means, quats, matrices = self.act(e), self.arrays["gaussians.quats"], self.bone_matrices(r, t)
        bones, weights = self.arrays["skin.bones"], self.arrays["skin.weights"].astype(np.float64)
        turns = _matrix_quats(matrices[:, :, :3])[bones]
        agree = np.einsum("nmc,nc->nm", turns, turns[:, 0]) >= 0
        turn = np.einsum("nm,nmc->nc", np.where(agree, weights, -weights), turns)
        carried = np.einsum("nm,nmab->nab", weights, matrices[bones])
        moved = np.einsum("nab,nb->na", carried[:, :, :3], means) + carried[:, :, 3]
        turned = _quat_product(turn / np.linalg.norm(turn, axis=1, keepdims=True), quats)
        same = {name: self.arrays[f"gaussians.{name}"] for name in ("opacities", "sh")}
        scales = np.exp(self.arrays["gaussians.log_scales"])
        return {"means": moved.astype("f4"), "quats": turned.astype("f4"), "scales": scales, **same}

    def act(self, expression: np.ndarray) -> np.ndarray:
        """Centres at rest, ``n 3``, with facial actions of these strengths, ``e``."""
        means = self.arrays["gaussians.means"].astype(np.float64)
        starts = self.arrays["actions.starts"]
        for action, strength in enumerate(expression):
            part = slice(starts[action], starts[action + 1])
            which, offsets = self.arrays["actions.gaussians"][part], self.arrays["actions.offsets"][part]
            np.add.at(means, which, float(strength) * offsets.astype(np.float64))
        return means

    def frame(self, index: int) -> dict[str, np.ndarray]:
        """A frame of the motion, as `pose` takes it; there are ``len(avatar.arrays["motion.translation"])``."""
        names = ("rotations", "translation", "expression")
        return {name: self.arrays[f"motion.{name}"][index] for name in names}


def read_avatar(path: str | Path) -> AvatarFile:
    """Reads and checks a whole file.

    Raises:
        OSError: it cannot be read.
        AvatarFileError: it is damaged or no such file; the message says what is wrong.
    """
    return parse_avatar(Path(path).read_bytes())


def parse_avatar(content: bytes) -> AvatarFile:
    """`read_avatar` for bytes.

    Raises:
        AvatarFileError: as there.
    """
    header, data = split(content)
    _require(isinstance(listed := header.pop("arrays", None), dict), "the header names no arrays")
    arrays = {name: decode_array(name, listed[name], data) for name in SHAPES if name in listed}
    sizes = {"j": len(_names(header, "bones")), "e": len(_names(header, "actions"))}
    sizes["e+1"] = sizes["e"] + 1
    _check_shapes(arrays, sizes)
    for name in SHAPES.keys() - arrays.keys() - {"gaussians.seen", "binding.faces", "binding.barycentrics"}:
        arrays[name] = np.zeros(_numbers(name, sizes), np.int64 if name in WHOLE else np.float32)
    _check_values(arrays, sizes)
    right = _is_number(header.get("fps", 30)) and 0 < header.get("fps", 30) <= 1e4
    _require(right and ("fps" in header or not sizes["t"]), "fps is no rate of pictures a second")
    drawing = header.setdefault("rendering", {})
    _require(isinstance(drawing, dict), "rendering is no object")
    eps2d, mode = drawing.setdefault("eps2d", 0.3), drawing.setdefault("mode", "classic")
    right = _is_number(eps2d) and 0 < eps2d <= 100 and mode in ("classic", "antialiased")
    _require(right, "rendering: eps2d is not in (0, 100], or mode is neither classic nor antialiased")
    return AvatarFile(header, arrays)


def _require(right: Any, what: str) -> None:
    if not right:
        raise AvatarFileError(what)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MOST_NUMBER  # which NaN is not


def split(content: bytes, known: Any = KNOWN, part: bool = False) -> tuple[dict[str, Any], bytes]:
    right = content[: len(MAGIC)] == MAGIC and len(content) >= START.size
    _require(right, "it does not begin with the 24 bytes of an .avatar file")
    _, version, length, check, zero = START.unpack_from(content)
    _require(version == VERSION, f"it is of version {version}; this reader knows {VERSION}")
    end = START.size + length
    _require(end <= len(content), "it ends within its header")
    text = content[START.size : end]
    _require(zlib.crc32(text) == check and not zero, "the header is damaged: its CRC-32 is another")
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AvatarFileError(f"the header is no JSON: {str(error)[:80]}") from error
    _require(isinstance(header, dict) and header.get("format") == "avatar", "the header is of another format")
    lacks = sorted(set(_names(header, "required")) - known)
    _require(not lacks, f"it needs extensions that this reader lacks: {lacks}"[:200])
    data, said, has = content[end + -end % 8 :], header.get("data_bytes"), len(content) - end - -end % 8
    _require(part or said == has, f"it has {has} bytes of data where the header says {said!s:.20}")
    return header, data


def _names(header: dict[str, Any], kind: str) -> list[str]:
    names = header.get(kind, [])
    right = isinstance(names, list) and len(names) <= 65536 and all(isinstance(name, str) for name in names)
    _require(right and len(set(names)) == len(names), f"{kind} is no list of different names")
    return list(names)


def decode_array(name: str, entry: Any, data: bytes) -> np.ndarray:
    """One array: its whole numbers, or floats with scale and zero applied."""
    _require(isinstance(entry, dict), f"{name}: its entry is no object")
    kind, shape, codec = entry.get("dtype"), entry.get("shape"), entry.get("codec")
    _require(isinstance(kind, str) and kind in TYPES, f"{name}: no type {str(kind)[:20]!r}")
    right = isinstance(shape, list) and 1 <= len(shape) <= 4
    right = right and all(type(axis) is int and 0 <= axis < 2**31 for axis in shape)
    _require(right, f"{name}: its shape is no list of 1 to 4 whole numbers")
    at, size = entry.get("offset"), entry.get("bytes")
    right = type(at) is int and type(size) is int and 0 <= at <= at + size <= len(data)
    _require(right, f"{name}: it lies outside of the file")
    stored, dtype = data[at : at + size], np.dtype(TYPES[kind])
    _require(zlib.crc32(stored) == entry.get("crc32"), f"{name}: damaged: its CRC-32 is another")
    wanted = math.prod(shape) * dtype.itemsize
    _require(wanted <= MOST_BYTES, f"{name}: it would have {wanted} bytes")
    if codec in ("deflate", "shuffle+deflate"):
        _require(wanted <= MOST_RATIO * (size + 8), f"{name}: {size} bytes cannot be inflated to {wanted}")
        try:
            stored = zlib.decompressobj().decompress(stored, wanted + 1)
        except zlib.error as error:
            raise AvatarFileError(f"{name}: it cannot be inflated: {error}") from error
    else:
        _require(codec == "raw", f"{name}: this reader lacks codec {str(codec)[:20]!r}")
    _require(len(stored) == wanted, f"{name}: {len(stored)} bytes where its shape needs {wanted}")
    if codec == "shuffle+deflate":  # first all first bytes of the numbers, then all second ones
        stored = np.frombuffer(stored, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
    values = np.frombuffer(stored, dtype).reshape(shape)
    if kind == "f32" or "scale" not in entry:
        return values.astype(np.float32 if kind == "f32" else np.int64)
    scale, zero = entry["scale"], entry.get("zero", 0)
    for factor in (scale, zero):
        right = isinstance(factor, list) and len(factor) == shape[-1] and all(map(_is_number, factor))
        _require(right or _is_number(factor), f"{name}: scale and zero are a number, or one for each column")
    return (values * np.array(scale, np.float64) + np.array(zero, np.float64)).astype(np.float32)


def _check_shapes(arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
    """That all arrays agree; fills in the sizes of the axes."""
    for name, values in arrays.items():
        axes, wanted, found = SHAPES[name], _numbers(name, sizes), values.shape
        fits = len(axes) == len(found) and all(w in (None, f) for w, f in zip(wanted, found))
        _require(fits, f"{name}: shape {found} where ({' '.join(axes)}) is {wanted}")
        sizes.update((axis, size) for axis, size in zip(axes, found) if not axis.isdigit())
    missing = [n for n in SHAPES if n in REQUIRED and n not in arrays]
    _require(not missing, f"arrays are missing: {', '.join(missing)}")
    _require(sizes["k"] in (1, 4, 9, 16), "gaussians.sh: degrees 0 to 3 have 1, 4, 9 or 16 coefficients")
    _require(1 <= sizes["m"] <= MOST_INFLUENCES, f"skin.bones: not 1 to {MOST_INFLUENCES} influences")
    for group in ("actions.starts actions.gaussians actions.offsets", "motion.rotations motion.translation"):
        _require(len({n in arrays for n in group.split()}) == 1, f"some, but not all of {group} are missing")
    _require("actions.starts" in arrays or not sizes["e"], "there are names of actions, but no actions")
    sizes.setdefault("t", 0)
    sizes.setdefault("a", 0)


def _numbers(name: str, sizes: dict[str, int]) -> list[Any]:
    return [int(axis) if axis.isdigit() else sizes.get(axis) for axis in SHAPES[name]]


def _check_values(arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
    """Numbers that can be used; quaternions and weights are brought to length and sum 1."""
    for name, values in arrays.items():
        _require((values.dtype == np.int64) == (name in WHOLE), f"{name}: whole numbers, or just not")
        _require((np.abs(values) < MOST_NUMBER).all(), f"{name}: some numbers are not finite")
    _require((np.abs(arrays["gaussians.log_scales"]) < 80).all(), "gaussians.log_scales: some are beyond 80")
    quats, weights = arrays["gaussians.quats"], arrays["skin.weights"]
    lengths, sums = np.linalg.norm(quats, axis=1, keepdims=True), weights.sum(1, keepdims=True)
    _require((np.abs(lengths - 1) < 0.01).all(), "gaussians.quats: some are not of length 1")
    right = (weights >= 0).all() and (np.abs(sums - 1) < 0.01).all()
    _require(right, "skin.weights: some are below 0, or do not sum to 1")
    arrays["gaussians.quats"], arrays["skin.weights"] = quats / lengths, weights / sums
    parents, starts, moved = arrays["rig.parents"], arrays["actions.starts"], len(arrays["actions.gaussians"])
    for name in {"gaussians.opacities", "gaussians.seen"} & arrays.keys():
        _require(((arrays[name] >= 0) & (arrays[name] <= 1)).all(), f"{name}: some are not from 0 to 1")
    _require((parents < np.arange(len(parents))).all(), "rig.parents: a bone comes before its parent")
    for name, below in (("skin.bones", sizes["j"]), ("actions.gaussians", sizes["n"])):
        right = ((arrays[name] >= 0) & (arrays[name] < below)).all()
        _require(right, f"{name}: some are not from 0 to {below - 1}")
    right = (np.diff(starts) >= 0).all() and starts[0] == 0 and starts[-1] == moved
    _require(right, f"actions.starts: they do not rise from 0 to {moved}")
    bind = arrays["rig.bind"][:, :, :3].astype(np.float64)
    off = np.abs(bind @ bind.transpose(0, 2, 1) - np.eye(3))
    _require((off < 0.01).all(), "rig.bind: some are no rotation and shift")


def _rotation_matrices(rotations: np.ndarray) -> np.ndarray:
    """Of axis-angle vectors (Rodrigues), ``j 3 3``."""
    angle = np.linalg.norm(rotations, axis=1)[:, None, None]
    x, y, z = (rotations / np.maximum(angle[:, 0], 1e-12)).T
    zero = np.zeros_like(x)
    K = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * (K @ K)


def _matrix_quats(matrices: np.ndarray) -> np.ndarray:
    """Of rotations ``j 3 3``: the eigenvector of the largest eigenvalue (Bar-Itzhack, 2000), either sign."""
    (a, b, c), (d, e, f), (g, h, i) = matrices.transpose(1, 2, 0)
    rows = [[a + e + i, h - f, c - g, d - b], [h - f, a - e - i, b + d, c + g]]
    rows += [[c - g, b + d, e - a - i, f + h], [d - b, c + g, f + h, i - a - e]]
    return np.linalg.eigh(np.array(rows).transpose(2, 0, 1))[1][:, :, 3]


def _quat_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of quaternions wxyz, row by row."""
    w = a[:, :1] * b[:, :1] - (a[:, 1:] * b[:, 1:]).sum(1, keepdims=True)
    return np.concatenate([w, a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + np.cross(a[:, 1:], b[:, 1:])], 1)
