"""The PLY layout of 3D Gaussian splatting, as its viewers read it.

One vertex a Gaussian: x y z, normals (zero), f_dc_0..2, f_rest_0.. (color after color, as the original code writes
them), opacity before the sigmoid, log scales, rotation wxyz. The layout says nothing of axes or units; ours are kept
(+Y up, metres) and named in the header's comments. (Kerbl et al., "3D Gaussian splatting": scene/gaussian_model.py
gives the only definition of the format.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from plyfile import PlyData, PlyElement, PlyParseError

from simulacra.render.gaussians.record import Gaussians
from simulacra.render.rotation import quat_normalize
from simulacra.render.runtime.errors import InputError
from simulacra.render.runtime.whole_files import sync, whole_file

COMMENTS = ("axes: +Y up, right-handed", "units: metres", "written by simulacra")


def write_ply(path: Path, gaussians: Gaussians) -> None:
    """Writes the file atomically, then reads it back.

    Raises:
        RuntimeError: what was read back differs from what was written, which is a bug of ours.
    """
    columns = _columns(gaussians)
    table = np.zeros(len(gaussians), dtype=[(name, "<f4") for name in columns])
    for name, values in columns.items():
        table[name] = values
    vertices = PlyElement.describe(table, "vertex")
    unit = gaussians.replace(quats=quat_normalize(gaussians.quats))
    with whole_file(path) as stream:
        PlyData([vertices], text=False, byte_order="<", comments=list(COMMENTS)).write(stream)
        stream.flush()
        back = read_ply(Path(stream.name))
        for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
            if not torch.equal(getattr(back, name), getattr(unit, name).detach().float()):
                raise RuntimeError(f"{name} of {path} came back different")
    sync(path.parent)


def read_ply(path: Path) -> Gaussians:
    """Reads a 3DGS PLY of any spherical-harmonic degree.

    Raises:
        InputError: missing, damaged, or without the columns of the layout.
    """
    try:
        table = PlyData.read(str(path))["vertex"].data
    except (OSError, PlyParseError, KeyError, ValueError) as error:
        raise InputError("a PLY file cannot be read", where=path, found=error) from error
    names = table.dtype.names or ()

    def columns(*wanted: str) -> torch.Tensor:
        missing = [name for name in wanted if name not in names]
        if missing:
            raise InputError(
                "a PLY file is not of Gaussians", where=path, expected=", ".join(missing), found=names
            )
        return torch.from_numpy(np.stack([table[name].astype(np.float32) for name in wanted], 1))

    rest = sorted((n for n in names if n.startswith("f_rest_")), key=lambda n: int(n.removeprefix("f_rest_")))
    dc = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    higher = columns(*rest).unflatten(1, (3, -1)).transpose(1, 2) if rest else dc[:, :0]
    return Gaussians(
        columns("x", "y", "z"),
        columns("rot_0", "rot_1", "rot_2", "rot_3"),
        columns("scale_0", "scale_1", "scale_2"),
        columns("opacity")[:, 0],
        torch.cat([dc, higher], 1),
    )


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
