"""The PLY layout of 3D Gaussian splatting, as its viewers read it.

One vertex a Gaussian: x y z, normals (zero), f_dc_0..2, f_rest_0.. (color after color, as the original code writes
them), opacity before the sigmoid, log scales, rotation wxyz. (Kerbl et al., "3D Gaussian splatting":
scene/gaussian_model.py gives the only definition of the format.)

The layout says nothing of axes. Its files came of COLMAP's cameras, whose y axis points down, so that viewers expect -Y
up: SuperSplat and the PlayCanvas engine turn what they load by half a turn about Z (their issue 451 says why), and what
was turned so before it was written stands in them as it stands here. The header's comments name axes and units.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from simulacra.render.gaussians.record import Gaussians
from simulacra.render.gaussians.spherical_harmonics import sh_basis
from simulacra.render.rotation import quat_multiply, quat_normalize
from simulacra.render.runtime.errors import InputError
from simulacra.render.runtime.whole_files import sync, whole_file

# What a file to be read may be: 10 million Gaussians of the third degree are 2.5 GB.
MOST_BYTES = 4 << 30
LARGEST_HEADER = 1 << 16
MOST_COLUMNS = 100
HIGHER_HARMONICS = (0, 9, 24, 45)
FORMAT = "format binary_little_endian 1.0"
TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "<i2", "int16": "<i2", "ushort": "<u2", "uint16": "<u2"},
    **{"int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4"},
    **{"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8"},
}
SHOWN = 120  # characters of a file in an error

Axes = Literal["3dgs", "y-up"]
"""Up is -Y as splat viewers take it, or +Y as everywhere here."""
UP = {"3dgs": "-Y", "y-up": "+Y"}


def half_turn(gaussians: Gaussians) -> Gaussians:
    """The same Gaussians turned by half a turn about the world's Z axis: y up becomes y down, and the other way.

    Two of them give back what there was, but for the sign of the quaternions. Nothing is rounded: only signs change.
    """
    sign = torch.tensor([-1.0, -1.0, 1.0])
    degree = {1: 0, 4: 1, 9: 2, 16: 3}[gaussians.sh.shape[1]]
    # A harmonic is even or odd under the turn, so that one direction in general position tells its sign.
    direction = torch.tensor([0.6, 0.3, 0.74])
    signs = torch.sign(sh_basis(direction, degree) * sh_basis(direction * sign, degree))
    turn = torch.tensor([0.0, 0.0, 0.0, 1.0])
    return gaussians.replace(
        means=gaussians.means * sign.to(gaussians.means),
        quats=quat_multiply(turn.to(gaussians.quats), gaussians.quats),
        sh=gaussians.sh * signs.to(gaussians.sh)[:, None],
    )


def write_ply(path: Path, gaussians: Gaussians, axes: Axes = "3dgs", remarks: Sequence[str] = ()) -> None:
    """Writes the file atomically, then reads it back.

    Args:
        gaussians: +Y up.
        axes: of the file.
        remarks: further lines of the header's comments, ASCII.

    Raises:
        RuntimeError: what was read back differs from what was written, or cannot be: a bug of ours, or Gaussians with
            numbers that are not finite.
    """
    if axes == "3dgs":
        gaussians = half_turn(gaussians)
    comments = (f"axes: {UP[axes]} up, right-handed", "units: metres", *remarks, "written by simulacra")
    columns = _columns(gaussians)
    table = np.zeros(len(gaussians), dtype=[(name, "<f4") for name in columns])
    for name, values in columns.items():
        table[name] = values
    lines = ["ply", FORMAT, *(f"comment {comment}" for comment in comments), f"element vertex {len(table)}"]
    lines += [*(f"property float {name}" for name in columns), "end_header", ""]
    unit = gaussians.replace(quats=quat_normalize(gaussians.quats))
    with whole_file(path) as stream:
        stream.write("\n".join(lines).encode("ascii") + table.tobytes())
        stream.flush()
        try:
            back = read_ply(Path(stream.name))
        except InputError as error:
            raise RuntimeError(f"{path} cannot be read back") from error
        for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
            if not torch.equal(getattr(back, name), getattr(unit, name).detach().float()):
                raise RuntimeError(f"{name} of {path} came back different")
    sync(path.parent)


def read_ply(path: Path) -> Gaussians:
    """Reads a 3DGS PLY of any spherical-harmonic degree, in the file's own axes.

    Binary, little-endian, of one element ``vertex``, as all programs write it that we know of. There is room made only
    for what the file can hold.

    Raises:
        InputError: missing, damaged, of another kind, larger than such a file can be, without the columns of the
            layout, or with numbers that no Gaussian has.
    """
    try:
        table = _read_table(path)
    except (OSError, ValueError) as error:
        raise InputError("a PLY file cannot be read", where=path, found=str(error)[:SHOWN]) from error
    names = table.dtype.names or ()

    def columns(*wanted: str) -> torch.Tensor:
        missing = [name for name in wanted if name not in names]
        if missing:
            raise InputError(
                "a PLY file is not of Gaussians",
                where=path,
                expected=", ".join(missing)[:SHOWN],
                found=" ".join(names)[:SHOWN],
            )
        values = np.stack([table[name] for name in wanted], 1)
        if not (np.abs(values) <= np.finfo(np.float32).max).all():
            raise InputError(
                "a PLY file is not of Gaussians",
                where=path,
                expected=f"finite numbers in {', '.join(wanted)}",
            )
        return torch.from_numpy(values.astype(np.float32))

    count = sum(name.startswith("f_rest_") for name in names)
    if count not in HIGHER_HARMONICS:
        raise InputError(
            "a PLY file is not of Gaussians",
            where=path,
            expected=f"f_rest_0 to f_rest_N, {' or '.join(map(str, HIGHER_HARMONICS))} of them",
            found=count,
        )
    dc = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    rest = [f"f_rest_{k}" for k in range(count)]
    higher = columns(*rest).unflatten(1, (3, -1)).transpose(1, 2) if rest else dc[:, :0]
    quats = columns("rot_0", "rot_1", "rot_2", "rot_3")
    if (quats.norm(dim=1) == 0).any():
        raise InputError("a PLY file is not of Gaussians", where=path, expected="rotations of some length")
    return Gaussians(
        columns("x", "y", "z"),
        quats,
        columns("scale_0", "scale_1", "scale_2"),
        columns("opacity")[:, 0],
        torch.cat([dc, higher], 1),
    )


def _read_table(path: Path) -> np.ndarray:
    """The vertices as records of what the header names.

    Raises:
        OSError: as of any file.
        ValueError: the header is of something else, or says more than there is.
    """
    if not path.is_file():
        raise FileNotFoundError("no such file")
    size = path.stat().st_size
    with path.open("rb") as stream:
        header, end, _ = stream.read(LARGEST_HEADER).partition(b"\nend_header\n")
        lines = [line for line in header.decode("ascii").split("\n") if line.split()[:1] != ["comment"]]
        if size > MOST_BYTES or not end or lines[:2] != ["ply", FORMAT]:
            raise ValueError(f"expected at most {MOST_BYTES} bytes of ply, {FORMAT} ... end_header")
        element, *properties = [line.split() for line in lines[2:]] or [[]]
        if (
            len(element) != 3
            or element[:2] != ["element", "vertex"]
            or not 0 < len(properties) <= MOST_COLUMNS
        ):
            raise ValueError(f"expected one element, vertex, with 1 to {MOST_COLUMNS} properties")
        if any(len(one) != 3 or one[0] != "property" or one[1] not in TYPES for one in properties):
            raise ValueError("expected one element, vertex, with properties of plain numbers")
        dtype = np.dtype([(name, TYPES[kind]) for _, kind, name in properties])
        start, count = len(header) + len(end), int(element[2])
        room = (size - start) // dtype.itemsize
        if not 0 <= count <= room:
            raise ValueError(f"says {element[2][:20]} vertices where no more than {room} have room")
        stream.seek(start)
        return np.fromfile(stream, dtype, count)


def _columns(gaussians: Gaussians) -> dict[str, np.ndarray]:
    def split(prefix: str, values: torch.Tensor) -> dict[str, np.ndarray]:
        return {f"{prefix}{k}": values[:, k].detach().numpy() for k in range(values.shape[1])}

    means = gaussians.means.detach().numpy()
    columns = dict(zip("xyz", means.T, strict=True))
    columns |= {name: np.zeros(len(means), np.float32) for name in ("nx", "ny", "nz")}
    columns |= split("f_dc_", gaussians.sh[:, 0])
    columns |= split("f_rest_", gaussians.sh[:, 1:].transpose(1, 2).flatten(1))
    columns["opacity"] = gaussians.logit_opacities.detach().numpy()
    columns |= split("scale_", gaussians.log_scales)
    return columns | split("rot_", quat_normalize(gaussians.quats))
