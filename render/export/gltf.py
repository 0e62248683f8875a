"""The container of glTF 2.0 as one file, GLB: a JSON document and one block of numbers that it points into.

Axes and units are glTF's, and ours: +Y up, right-handed, metres. Rotations are xyzw there.
(Khronos, "glTF 2.0 specification", 2021: chapters 3.6 of accessors, 4.4 of GLB.)
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
VERTICES, INDICES = 34962, 34963
COMPONENTS = {"float32": 5126, "uint32": 5125, "uint16": 5123, "uint8": 5121}
LARGEST = 0xFFFFFFFF  # bytes, of a GLB

Kind = Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT4"]


class Buffer:
    """The block of numbers while it grows, and the tables of views and accessors that point into it."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, target: int | None = None) -> int:
        """Adds bytes, at a multiple of four; the index of their view."""
        self.content.extend(b"\0" * (-len(self.content) % 4))
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content)}
        self.views.append(view if target is None else view | {"target": target})
        self.content.extend(content)
        return len(self.views) - 1

    def add(
        self,
        values: np.ndarray,
        kind: Kind,
        target: int | None = None,
        *,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        """Adds an array, a row an element; the index of its accessor.

        Args:
            values: of float32, uint32, uint16 or uint8.
            target: what the numbers are for: `VERTICES`, `INDICES` or neither.
            bounds: write least and most of each column, as positions and times must have.
            normalized: integers that stand for 0 to 1.
        """
        values = np.ascontiguousarray(values)
        accessor: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": kind,
        }
        if normalized:
            accessor["normalized"] = True
        if bounds:
            table = values.reshape(len(values), -1)
            accessor |= {"min": table.min(0).tolist(), "max": table.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_sparse(self, count: int, rows: Int[np.ndarray, "m"], values: Float[np.ndarray, "m 3"]) -> int:
        """Adds ``count`` vectors of which these rows are not zero; the index of the accessor."""
        if not len(rows):  # the format knows no sparse accessor of nothing
            rows, values = np.zeros(1, np.int64), np.zeros((1, 3))
        order = np.argsort(rows)
        values = values[order].astype("<f4")
        some_zero = len(rows) < count
        bounds = np.vstack([values, np.zeros((int(some_zero), 3), "<f4")])
        self.accessors.append(
            {
                "componentType": COMPONENTS["float32"],
                "count": count,
                "type": "VEC3",
                "min": bounds.min(0).tolist(),
                "max": bounds.max(0).tolist(),
                "sparse": {
                    "count": len(rows),
                    "indices": {
                        "bufferView": self.view(rows[order].astype("<u4").tobytes()),
                        "componentType": COMPONENTS["uint32"],
                    },
                    "values": {"bufferView": self.view(values.tobytes())},
                },
            }
        )
        return len(self.accessors) - 1


def glb_bytes(document: Mapping[str, Any], buffer: Buffer) -> bytes:
    """The whole file.

    Args:
        document: all but buffers, views, accessors and who wrote it.

    Raises:
        ValueError: it is larger than the format can say.
    """
    block = bytes(buffer.content) + b"\0" * (-len(buffer.content) % 4)
    whole = {
        "asset": {"version": "2.0", "generator": "simulacra"},
        **document,
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "buffers": [{"byteLength": len(block)}],
    }
    text = json.dumps(whole, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(block)
    if length > LARGEST:
        raise ValueError(f"a GLB has at most {LARGEST} bytes, and this would have {length}")
    head = struct.pack("<III", MAGIC, 2, length)
    return (
        head
        + struct.pack("<II", len(text), JSON_CHUNK)
        + text
        + struct.pack("<II", len(block), BINARY_CHUNK)
        + block
    )
