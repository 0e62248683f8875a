"""The body that compressed Gaussians hang on, in whole numbers: named by its shape, or whole in the file.

Named, a file holds the shape alone. Whoever reads it evaluates the body's rest vertices in float64 and rounds them to
2^-12 m; where a coordinate lies so near to the middle between two steps that machines could differ, the file says which
it is, and a CRC-32 of all vertices says whether the reader's are the writer's.

Whole, a file holds vertices, faces, skin weights and facial actions: a reader needs nothing else.

Symbols: ``v`` vertices, ``f`` faces, ``w`` influences a vertex, ``e`` actions, ``m`` moved vertices.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Int64

from simulacra.render.body.model import BodyModel
from simulacra.render.body.records import BodyShape
from simulacra.render.export.codec import connectivity
from simulacra.render.export.codec.errors import CodecError
from simulacra.render.export.codec.surface import VERTEX_UNITS, Surface
from simulacra.render.export.rigged import LEAST_MOVE, Stored
from simulacra.render.export.rigged_reader import MOST_INFLUENCES

PREFIX = "codecs.surface."
NEARLY_TIED = 1e-4  # steps from the middle between two, thousands of times what float64 leaves open
MOST_VERTS, MOST_FACES = 1 << 16, 1 << 18
WEIGHT_STEPS = 4095


def surface_of(body: BodyModel, shape: BodyShape) -> tuple[Surface, Int64[np.ndarray, "t 2"]]:
    """The rest surface in whole numbers, and coordinates that nearly lie between two: which, and the whole number."""
    wide = body.to(torch.float64)
    rest = wide.rest(BodyShape(shape.phenotypes.double(), shape.local_changes.double()))
    exact = rest.verts.detach().cpu().numpy() * VERTEX_UNITS
    verts = np.floor(exact + 0.5).astype(np.int64)
    near = np.flatnonzero(np.abs(exact - np.floor(exact) - 0.5) < NEARLY_TIED)
    return Surface(verts, body.faces.cpu().numpy().astype(np.int64)), np.stack(
        [near, verts.reshape(-1)[near]], 1
    )


def surface_crc(surface: Surface) -> int:
    """Of the vertices as little-endian int32, and the faces likewise."""
    return zlib.crc32(
        surface.faces.astype("<i4").tobytes(), zlib.crc32(surface.verts.astype("<i4").tobytes())
    )


def named_arrays(ties: Int64[np.ndarray, "t 2"]) -> dict[str, Stored]:
    """What a file holds of a body that its reader has."""
    return {
        f"{PREFIX}ties": Stored(ties[:, 0].astype("<u4")),
        f"{PREFIX}tied": Stored(ties[:, 1].astype("<i2")),
    }


def named_surface(body: BodyModel, shape: BodyShape, arrays: Mapping[str, np.ndarray], crc: int) -> Surface:
    """The surface of a body that the reader has.

    Raises:
        CodecError: the reader's body is another.
    """
    if len(shape.phenotypes) != len(body.phenotype_names) or len(shape.local_changes) != len(
        body.local_change_names
    ):
        raise CodecError("the shape is of another body")
    if not all(bool(torch.isfinite(part).all()) for part in (shape.phenotypes, shape.local_changes)):
        raise CodecError("the shape has numbers that are not finite")
    surface, _ = surface_of(body, shape)
    which, whole = (arrays[f"{PREFIX}{name}"].reshape(-1) for name in ("ties", "tied"))
    if len(which) != len(whole) or (which >= surface.verts.size).any():
        raise CodecError("the ties of the vertices do not fit")
    verts = surface.verts.copy()
    verts.reshape(-1)[which] = whole
    surface = Surface(verts, surface.faces)
    if surface_crc(surface) != crc:
        raise CodecError(
            "this body's surface is another than the writer's; ask for a file that holds its body"
        )
    return surface


@dataclass(frozen=True)
class Body:
    """What moves a surface.

    Attributes:
        bones: that carry each vertex, the strongest first.
        weights: how much; rows sum to 1.
        moved: the vertices that facial actions move.
        offsets: by how many metres.
    """

    bones: Int[np.ndarray, "v w"]
    weights: Float[np.ndarray, "v w"]
    moved: Int[np.ndarray, "m"]
    offsets: Float[np.ndarray, "e m 3"]

    @staticmethod
    def of_model(body: BodyModel) -> Body:
        """Of our bodies: their strongest influences."""
        weights = body.skin_weights[:, :MOST_INFLUENCES].double()
        weights = weights / weights.sum(1, keepdim=True)
        offsets = body.expressions.offsets.unflatten(-1, (-1, 3)).double()
        parts = (body.skin_indices[:, :MOST_INFLUENCES], weights, body.expressions.vertices, offsets)
        return Body(*(part.cpu().numpy() for part in parts))


def whole_arrays(body: Body, surface: Surface) -> dict[str, Stored]:
    """What a file holds of a body that its reader lacks; vertices in the order in which faces use them."""
    order = connectivity.first_use_order(surface.faces, len(surface.verts))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    edges, corners, named = connectivity.encode_faces(place[surface.faces])
    weights = np.round(body.weights * WEIGHT_STEPS)
    bones, used = np.where(weights > 0, body.bones, 0), int((weights > 0).any(0).sum())
    offsets, moved = body.offsets, place[body.moved]
    rising = np.argsort(moved)
    step = max(float(np.abs(offsets).max(initial=0)) / 127, 1e-6)
    return {
        f"{PREFIX}verts": Stored(np.diff(surface.verts[order], axis=0, prepend=0).T.astype("<i2")),
        f"{PREFIX}faces.edges": Stored(edges),
        f"{PREFIX}faces.corners": Stored(corners),
        f"{PREFIX}faces.verts": Stored(named.astype("<u2")),
        f"{PREFIX}skin.bones": Stored(bones[order, :used].T.astype("<u2")),
        f"{PREFIX}skin.weights": Stored(weights[order, :used].T.astype("<u2")),
        f"{PREFIX}actions.verts": Stored(moved[rising].astype("<u2")),
        f"{PREFIX}actions.offsets": Stored(
            np.round(offsets[:, rising].transpose(2, 0, 1) / step).astype("|i1"), step
        ),
    }


def whole_surface(arrays: Mapping[str, np.ndarray]) -> Surface:
    """The surface that is in the file.

    Raises:
        CodecError: it is none.
    """
    differences = _array(arrays, "verts")
    edges, corners, named = (_array(arrays, f"faces.{name}") for name in ("edges", "corners", "verts"))
    if differences.ndim != 2 or len(differences) != 3 or {edges.ndim, corners.ndim, named.ndim} != {1}:
        raise CodecError("vertices and faces are not in three rows each")
    if differences.shape[1] > MOST_VERTS or len(edges) > MOST_FACES:
        raise CodecError(f"the body has more than {MOST_VERTS} vertices or {MOST_FACES} faces")
    if any(((part < 0) | (part > top)).any() for part, top in ((edges, 255), (corners, 255), (named, 65535))):
        raise CodecError("faces are told in numbers of other kinds")
    # Modulo 2^16, so that differences of any size fit.
    verts = (np.cumsum(differences.astype(np.int64), 1).T + 32768 & 65535) - 32768
    faces = connectivity.decode_faces(
        edges.astype(np.uint8), corners.astype(np.uint8), named.astype(np.uint16)
    )
    if (faces >= len(verts)).any():
        raise CodecError("faces have corners that are no vertices")
    return Surface(verts, faces)


def whole_skin(
    arrays: Mapping[str, np.ndarray], corners: Int64[np.ndarray, "n 3"], barycentrics: np.ndarray, bones: int
) -> tuple[np.ndarray, np.ndarray]:
    """The bones and weights of Gaussians, ``n m`` each, as an uncompressed file has them.

    Raises:
        CodecError: the file's influences are damaged.
    """
    which, much = (_array(arrays, f"skin.{name}").T for name in ("bones", "weights"))
    if which.shape != much.shape or which.ndim != 2 or (which >= bones).any() or (which < 0).any():
        raise CodecError("the influences of the vertices do not fit")
    if len(which) <= corners.max(initial=-1) or (much.sum(1) < 1).any() or (much < 0).any():
        raise CodecError("some vertices have no influences")
    dense = np.zeros((len(which), bones), np.float32)
    np.add.at(
        dense, (np.arange(len(which))[:, None], which), (much / much.sum(1, keepdims=True)).astype("f4")
    )
    total = sum(dense[corners[:, k]] * barycentrics[:, k : k + 1] for k in range(3))
    best = np.argsort(-total, axis=1, kind="stable")[:, :MOST_INFLUENCES]
    kept = np.take_along_axis(total, best, 1)
    used = max(1, int((kept > 0).any(0).sum()))
    kept, best = kept[:, :used], best[:, :used]
    return np.where(kept > 0, best, 0), kept / kept.sum(1, keepdims=True)


def whole_actions(
    arrays: Mapping[str, np.ndarray],
    corners: Int64[np.ndarray, "n 3"],
    barycentrics: np.ndarray,
    actions: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, Gaussians and offsets of the facial actions, as an uncompressed file has them.

    Raises:
        CodecError: the file's actions are damaged.
    """
    verts, offsets = _array(arrays, "actions.verts"), _array(arrays, "actions.offsets")
    if verts.ndim != 1 or offsets.shape != (3, actions, len(verts)):
        raise CodecError("the offsets of the facial actions do not fit")
    offsets = offsets.transpose(1, 2, 0)
    limit = max(int(corners.max(initial=-1)), int(verts.max(initial=-1))) + 1
    if limit > MOST_VERTS or (verts < 0).any():
        raise CodecError("facial actions move vertices that are none")
    slot = np.full(limit, len(verts), np.int64)
    slot[verts] = np.arange(len(verts))
    moved = np.flatnonzero((slot[corners] < len(verts)).any(1))
    padded = np.concatenate([offsets, np.zeros((actions, 1, 3), offsets.dtype)], 1)
    some = (padded[:, slot[corners[moved]]] * barycentrics[moved][None, :, :, None]).sum(2)
    far = np.abs(some).max(2, initial=0) > LEAST_MOVE
    which = [moved[row] for row in far]
    starts = np.cumsum([0, *map(len, which)])
    empty = np.zeros((0, 3), np.float32)
    return (
        starts,
        np.concatenate([np.zeros(0, np.int64), *which]),
        np.concatenate([empty, *(a[row] for a, row in zip(some, far, strict=True))]),
    )


def _array(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if f"{PREFIX}{name}" not in arrays:
        raise CodecError(f"{PREFIX}{name} is missing")
    return arrays[f"{PREFIX}{name}"]
