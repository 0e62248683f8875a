"""Writes and reads the compressed profile of FILE.avatar: a file of the same kind that needs ``codecs.surface``.

    packed = pack_compressed(content, PROFILES["medium"])        # a `RiggedAvatar`
    found = read_compressed(packed)                              # or a prefix of it: fewer Gaussians, sooner
    found.as_file()                                              # as `rigged_reader` would have read it uncompressed
    found.avatar()                                               # the ordinary Avatar

What is in it, chunk by chunk, is in docs/compression.md; how the numbers are coded, in `codec`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulacra.render.avatar import Avatar, Binding
from simulacra.render.body.anny import PHENOTYPE_NAMES
from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyShape
from simulacra.render.export.codec import counts as face_counts
from simulacra.render.export.codec import models, neighbors, template
from simulacra.render.export.codec.errors import CodecError
from simulacra.render.export.codec.profiles import Steps
from simulacra.render.export.codec.quantize import Scales, dequantize, fields_of, quantize
from simulacra.render.export.codec.stream import (
    Layout,
    Tables,
    decode_levels,
    encode_levels,
    open_chunk,
    pack_chunk,
)
from simulacra.render.export.codec.surface import Places, Surface, find_places, level_rows
from simulacra.render.export.codec.template import PREFIX, Body
from simulacra.render.export.rigged import (
    RiggedAvatar,
    Stored,
    bones_of,
    header_of,
    pack_arrays,
    poses_of,
)
from simulacra.render.export.rigged_reader import (
    AvatarFile,
    AvatarFileError,
    decode_array,
    parse_avatar,
    split,
)
from simulacra.render.gaussians import Gaussians
from simulacra.render.runtime.whole_files import sync, whole_file

EXTENSION = "codecs.surface"
CODEC_VERSION = 1
LEVELS = 7
MOST_LEVELS = 16
MOST_GAUSSIANS = 1 << 21
# No chunk makes more Gaussians of its bytes: a symbol that a model is all but sure of costs 1/2800 of a bit, and a
# Gaussian has a dozen.
MOST_A_BYTE = 1 << 11
MOST_SCALE, LEAST_SCALE = 1e3, 1e-12
PHENOTYPES = len(PHENOTYPE_NAMES)
COEFFICIENTS = (1, 4, 9, 16)


@dataclass(frozen=True)
class Compressed:
    """What a compressed file, or a prefix of one, holds.

    Attributes:
        header: of the file.
        arrays: of it, but for the codec's own.
        own: the codec's arrays.
        surface: on which all hangs.
        shape: of the body.
        binding: of the Gaussians that are known.
        gaussians: these, at rest.
        whole: how many there are in the whole file.
    """

    header: dict[str, Any]
    arrays: dict[str, Stored]
    own: dict[str, np.ndarray]
    surface: Surface
    shape: BodyShape
    binding: Binding
    gaussians: Gaussians
    whole: int

    def avatar(self) -> Avatar:
        """The ordinary avatar, for `rig_body` and `drive`."""
        return Avatar(self.shape, self.binding, self.gaussians)

    @property
    def holds_body(self) -> bool:
        """Whether it can be posed without a body of the reader's."""
        return f"{PREFIX}verts" in self.own

    def as_file(self) -> AvatarFile:
        """As it would have been read from an uncompressed file; of files that hold their body.

        Raises:
            AvatarFileError: it does not hold its body, or what it holds makes no avatar.
        """
        if not self.holds_body:
            raise AvatarFileError("it does not hold its body: skin and facial actions are the reader's own")
        corners = self.surface.faces[self.binding.faces.numpy()]
        barycentrics = self.binding.barycentrics.numpy()
        bones, actions = len(self.header.get("bones", [])), len(self.header.get("actions", []))
        try:
            which, weights = template.whole_skin(self.own, corners, barycentrics, bones)
            starts, moved, offsets = template.whole_actions(self.own, corners, barycentrics, actions)
        except CodecError as error:
            raise AvatarFileError(str(error)) from error
        gaussians = self.gaussians
        entries = {
            "gaussians.means": Stored(gaussians.means.numpy()),
            "gaussians.quats": Stored(gaussians.quats.numpy()),
            "gaussians.log_scales": Stored(gaussians.log_scales.numpy()),
            "gaussians.opacities": Stored(torch.sigmoid(gaussians.logit_opacities).numpy()),
            "gaussians.sh": Stored(gaussians.sh.numpy()),
            "skin.bones": Stored(which.astype("<u2")),
            "skin.weights": Stored(weights.astype("<f4")),
            "actions.starts": Stored(starts.astype("<u4")),
            "actions.gaussians": Stored(moved.astype("<u4")),
            "actions.offsets": Stored(offsets.astype("<f4")),
            "binding.faces": Stored(self.binding.faces.numpy().astype("<u4")),
            "binding.barycentrics": Stored(barycentrics),
            **self.arrays,
        }
        header = {name: value for name, value in self.header.items() if name not in (EXTENSION, "required")}
        return parse_avatar(pack_arrays(header, entries, "raw"))


def pack_compressed(
    content: RiggedAvatar, steps: Steps, *, whole_body: bool = True, levels: int = LEVELS
) -> bytes:
    """The bytes of the file, which were read back.

    Args:
        content: the avatar with its body, poses and motion.
        steps: how finely (`codec.profiles`).
        whole_body: with the body in it, for readers that have none.
        levels: of detail, each twice as many Gaussians as the last.

    Raises:
        RuntimeError: it cannot be read back: a bug of ours, or numbers that are not finite.
    """
    avatar, body = content.avatar, content.rig.body
    surface, ties = template.surface_of(body, avatar.shape)
    shape = torch.cat([avatar.shape.phenotypes, avatar.shape.local_changes]).detach().numpy()
    moves = bones_of(content.rig) if whole_body else {}
    packed = pack_parts(
        header_of(content), surface, avatar.binding, avatar.gaussians, steps, levels, shape,
        Body.of_model(body) if whole_body else None, moves | template.named_arrays(ties) | poses_of(content),
    )  # fmt: skip
    try:
        found = read_compressed(packed, None if whole_body else body)
        if whole_body:
            found.as_file()
    except AvatarFileError as error:
        raise RuntimeError(f"a compressed avatar cannot be read back: {error}") from error
    return packed


def pack_parts(
    header: dict[str, Any],
    surface: Surface,
    binding: Binding,
    gaussians: Gaussians,
    steps: Steps,
    levels: int,
    shape: np.ndarray,
    body: Body | None,
    others: Mapping[str, Stored],
) -> bytes:
    """The bytes of a file of these parts, of which nothing is checked.

    Args:
        header: without what the codec says.
        surface: on which all hangs.
        binding: of the Gaussians.
        gaussians: at rest.
        steps: how finely.
        levels: of detail.
        shape: phenotypes and local changes.
        body: what moves the surface; None where the reader has it.
        others: bones, poses, a motion.
    """
    coded = quantize(surface, binding, gaussians, steps, levels)
    frequencies, escapes, words = face_counts.encode_counts(coded.counts[surface.order])
    shared, chunks = encode_levels(surface, coded.places, coded.layout, coded.steps, coded.values)
    said = {
        "version": CODEC_VERSION,
        "count": coded.layout.count,
        "levels": levels,
        "coefficients": gaussians.sh.shape[1],
        "scales": asdict(coded.scales),
        "starts": shared.starts.tolist(),
        "surface_crc32": template.surface_crc(surface),
    }
    first = {
        "shape": Stored(shape.astype("<f4")),
        "models": Stored(np.stack([shared.chosen, shared.lows])),
        "count_frequencies": Stored(frequencies.astype("<u2")),
        "counts": _raw(pack_chunk(escapes, words)),
    }
    levels_named = {f"{PREFIX}level.{level}": _raw(chunk) for level, chunk in enumerate(chunks)}
    whole = {} if body is None else template.whole_arrays(body, surface)
    # A file that arrives slowly: first what stands still, then, behind an eighth of the Gaussians, what moves it.
    early = list(levels_named)[: max(1, levels - 3)]
    entries = {f"{PREFIX}{name}": entry for name, entry in first.items()}
    entries |= {name: whole.pop(name) for name in list(whole) if name.split(".")[2] in ("verts", "faces")}
    entries |= {name: entry for name, entry in others.items() if name.startswith(PREFIX)}
    entries |= {name: levels_named.pop(name) for name in early} | whole
    entries |= {name: entry for name, entry in others.items() if not name.startswith("motion.")}
    entries |= levels_named | {name: entry for name, entry in others.items() if name.startswith("motion.")}
    return pack_arrays(header | {"required": [EXTENSION], EXTENSION: said}, entries)


def write_compressed(path: Path, content: RiggedAvatar, steps: Steps, *, whole_body: bool = True) -> int:
    """Writes the file atomically, and returns its size in bytes. Arguments as of `pack_compressed`.

    Raises:
        OSError: the place cannot be written.
        RuntimeError: as there.
    """
    packed = pack_compressed(content, steps, whole_body=whole_body)
    with whole_file(path) as stream:
        stream.write(packed)
    sync(path.parent)
    return len(packed)


def is_compressed(content: bytes) -> bool:
    """Whether these are a compressed file's bytes.

    Raises:
        AvatarFileError: they are no .avatar file's.
    """
    header, _ = split(content, frozenset({EXTENSION}), True)
    return EXTENSION in header.get("required", [])


def read_compressed(
    content: bytes, body: BodyModel | Callable[[], BodyModel] | None = None, levels: int | None = None
) -> Compressed:
    """Reads a file, or the beginning of one that ends anywhere behind its first level.

    Args:
        content: the bytes.
        body: of readers that have it, or what loads it; needed where the file does not hold its own.
        levels: at most so many, for a coarser person; all by default.

    Raises:
        AvatarFileError: it is damaged, of another kind, or needs a body that is not given.
    """
    header, data = split(content, frozenset({EXTENSION}), True)
    listed, said = header.pop("arrays", None), header.get(EXTENSION)
    if not isinstance(listed, dict) or not isinstance(said, dict):
        raise AvatarFileError(f"it holds no {EXTENSION}")
    known = {name: entry for name, entry in listed.items() if not _is_beyond(entry, len(data))}
    if len(known) < len(listed) and header.get("data_bytes") == len(data):
        raise AvatarFileError("some arrays lie outside of the file")
    if type(whole := header.get("data_bytes")) is not int or whole < len(data):
        raise AvatarFileError(f"it has {len(data)} bytes of data where the header says {str(whole)[:20]}")
    own = {
        name: decode_array(name, entry, data)
        for name, entry in known.items()
        if name.startswith(PREFIX) and not _is_level(name)
    }
    kept = {
        name: Stored(_stored(decode_array(name, entry, data)))
        for name, entry in known.items()
        if name.split(".")[0] in ("rig", "neutral", "motion")
    }
    try:
        parts = _Parts(said, own)
        surface = parts.surface(body)
        chunks = _chunks(known, data, parts.layout.levels if levels is None else levels)
        binding, gaussians = _decode(parts, surface, chunks)
    except CodecError as error:
        raise AvatarFileError(str(error)) from error
    return Compressed(header, kept, own, surface, parts.shape(), binding, gaussians, parts.layout.count)


class _Parts:
    """The codec's part of a header, checked."""

    def __init__(self, said: Mapping[str, Any], own: Mapping[str, np.ndarray]) -> None:
        _need(said.get("version") == CODEC_VERSION, f"the codec's version is not {CODEC_VERSION}")
        count: Any = said.get("count")
        levels: Any = said.get("levels")
        coefficients: Any = said.get("coefficients")
        _need(_is_whole(count, 1, MOST_GAUSSIANS), f"count is not 1 to {MOST_GAUSSIANS}")
        _need(_is_whole(levels, 1, MOST_LEVELS), f"levels are not 1 to {MOST_LEVELS}")
        _need(
            type(coefficients) is int and coefficients in COEFFICIENTS, "coefficients are not 1, 4, 9 or 16"
        )
        self.scales = _scales(said.get("scales"))
        has_barycentric = self.scales.barycentric is not None
        self.layout = Layout(count, levels, fields_of(coefficients, has_barycentric))
        self.crc: Any = said.get("surface_crc32")
        self._own, limit = own, neighbors.MOST_VALUE
        starts: Any = said.get("starts")
        right = isinstance(starts, list) and len(starts) == self.layout.channels
        _need(
            right and all(_is_whole(start, -limit, limit) for start in starts), "starts are not whole numbers"
        )
        table = self.array("models")
        right = table.shape == (2, self.layout.channels, neighbors.CONTEXTS) and table.dtype == np.int64
        _need(right and (table >= 0).all(), "models are not a number for each channel and context")
        _need((table[0] < models.MODELS).all() and (table[1] <= 8).all(), "models are none of the family")
        chosen, lows = table.astype(np.uint8)
        self.shared = Tables(chosen, lows, np.array(starts, np.int64))

    def array(self, name: str) -> np.ndarray:
        _need(f"{PREFIX}{name}" in self._own, f"{PREFIX}{name} is missing")
        return self._own[f"{PREFIX}{name}"]

    def shape(self) -> BodyShape:
        values = torch.from_numpy(self.array("shape").astype(np.float32).reshape(-1))
        return BodyShape(*values.split([min(PHENOTYPES, len(values)), max(len(values) - PHENOTYPES, 0)]))

    def surface(self, body: BodyModel | Callable[[], BodyModel] | None) -> Surface:
        if f"{PREFIX}verts" in self._own:
            return template.whole_surface(self._own)
        _need(body is not None, "it does not hold its body, and no body is given")
        assert body is not None
        held = body if isinstance(body, BodyModel) else body()
        return template.named_surface(held, self.shape(), self._own, self.crc)

    def places(self, surface: Surface) -> Places:
        frequencies = self.array("count_frequencies")
        right = frequencies.shape == (face_counts.CONTEXTS, face_counts.COUNTS)
        right = right and bool(((frequencies >= 0) & (frequencies <= models.TOTAL)).all())
        _need(right, "frequencies of counts are not 13 rows of 64")
        chunk = _bytes(self.array("counts"))
        found = face_counts.decode_counts(
            len(surface.faces), frequencies.astype(np.uint16), *open_chunk(chunk)
        )
        _need(
            int(found.sum()) == self.layout.count, "the counts of the faces do not sum to that of Gaussians"
        )
        counts = np.zeros(len(surface.faces), np.int64)
        counts[surface.order] = found
        return find_places(surface, counts, self.scales.tangent_step)


def _decode(parts: _Parts, surface: Surface, chunks: list[bytes]) -> tuple[Binding, Gaussians]:
    """The Gaussians of these levels, larger where later ones are missing, so that they cover the surface."""
    layout, size = parts.layout, sum(map(len, chunks))
    _need(len(chunks) > 0, "not even the first level is whole")
    known = sum(len(rows) for rows in level_rows(layout.count, layout.levels)[: len(chunks)])
    _need(known <= MOST_A_BYTE * size, f"{size} bytes cannot be {known} Gaussians")
    places = parts.places(surface)
    steps, values = decode_levels(surface, places, layout, parts.shared, chunks)
    if len(chunks) < layout.levels:
        rows = np.sort(np.concatenate(level_rows(layout.count, layout.levels)[: len(chunks)]))
        places, steps, values = places.at(rows), steps[:, rows], values[:, rows]
    binding, gaussians = dequantize(surface, places, steps, values, parts.scales)
    if known < layout.count:
        wider = gaussians.log_scales.new_tensor([1.0, 1.0, 0.0]) * 0.5 * math.log(layout.count / known)
        gaussians = gaussians.replace(log_scales=gaussians.log_scales + wider)
    return binding, gaussians


def _scales(said: Any) -> Scales:
    """The scales of a header, checked."""
    _need(
        isinstance(said, dict) and said.keys() == Scales.__dataclass_fields__.keys(),
        "scales are not the codec's",
    )
    widths = {"form": 6, "color": 3, "harmonic": 3}
    found: dict[str, Any] = {}
    for name, value in said.items():
        if name == "tangent_step":
            _need(_is_whole(value, 1, 1 << 16), "tangent_step is not 1 to 65536")
            found[name] = value
        elif name in widths:
            right = isinstance(value, list) and len(value) == widths[name] and all(map(_is_scale, value))
            _need(right, f"scales: {name} is not {widths[name]} numbers")
            found[name] = tuple(map(float, value))
        else:
            _need(
                _is_scale(value) or (name == "barycentric" and value is None), f"scales: {name} is no number"
            )
            found[name] = None if value is None else float(value)
    return Scales(**found)


def _chunks(listed: Mapping[str, Any], data: bytes, levels: int) -> list[bytes]:
    """The levels that are there, in their order, to the first that is missing."""
    found: list[bytes] = []
    for level in range(levels):
        name = f"{PREFIX}level.{level}"
        if name not in listed:
            break
        found.append(_bytes(decode_array(name, listed[name], data)))
    return found


def _is_level(name: str) -> bool:
    return name.startswith(f"{PREFIX}level.")


def _is_beyond(entry: Any, size: int) -> bool:
    """Whether an array lies behind the end of what is there."""
    if not isinstance(entry, dict):
        return False
    at, length = entry.get("offset"), entry.get("bytes")
    return type(at) is int and type(length) is int and at >= 0 and length >= 0 and at + length > size


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_scale(value: Any) -> bool:
    return type(value) in (int, float) and LEAST_SCALE <= value <= MOST_SCALE


def _need(right: Any, what: str) -> None:
    if not right:
        raise CodecError(what)


def _raw(chunk: bytes) -> Stored:
    return Stored(np.frombuffer(chunk, np.uint8), codec="raw")


def _bytes(values: np.ndarray) -> bytes:
    """Of an array of u8, which the container widened."""
    if values.ndim != 1 or values.dtype != np.int64 or ((values < 0) | (values > 255)).any():
        raise CodecError("a chunk is not of bytes")
    return values.astype(np.uint8).tobytes()


def _stored(values: np.ndarray) -> np.ndarray:
    """As a type that the container has: parents are the only whole numbers."""
    return values.astype("<f4") if values.dtype != np.int64 else values.astype("<i2")
