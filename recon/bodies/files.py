"""Files of SMPL-X (SMPLX_NEUTRAL.npz, or .pkl without chumpy), which users have from its authors; none comes with us.

v_template      V x 3
shapedirs       V x 3 x S: 300 of shape and 100 of expression, or 10 and 10 in older files
posedirs        V x 3 x 486
J_regressor     55 x V, or a sparse matrix
weights         V x 55
kintree_table   2 x 55: each joint's parent and itself
f               F x 3
vt, ft          texture coordinates
hands_components{l,r}, hands_mean{l,r}       45 x 45 and 45
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulacra.recon.importers.pickled_arrays import read_pickled_arrays
from simulacra.recon.runs.plain_arrays import DAMAGE, plain_arrays
from simulacra.render.body.smplx import PARENTS, SmplxModel
from simulacra.render.runtime.errors import InputError

# The largest of its files has 500 MB of float64.
MOST_BYTES = 1 << 30
_ITEMS = 100_000
_NEEDED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_HANDS = ("hands_componentsl", "hands_componentsr", "hands_meanl", "hands_meanr")
# Of a file with 400 columns the first 300 are of shape; of one with fewer the first ten.
_SHAPES, _OLD_SHAPES = 300, 10
USED_BETAS, USED_EXPRESSIONS = 10, 10
NAMES = tuple(f"SMPLX_{kind}.{ending}" for kind in ("NEUTRAL", "FEMALE", "MALE") for ending in ("npz", "pkl"))


def find_smplx(folder: Path) -> Path:
    """The model's file in a folder, or in its folder ``smplx``: the neutral one before the others, .npz before .pkl.

    Raises:
        InputError: there is none.
    """
    if folder.is_file():
        return folder
    for place in (folder, folder / "smplx", folder / "models" / "smplx"):
        for name in NAMES:
            if (place / name).is_file():
                return place / name
    raise InputError(
        "No model of SMPL-X is in this folder", where=folder, expected=", ".join(NAMES[:2]),
        remedy="have the files from https://smpl-x.is.tue.mpg.de, whose licence is with its authors",
    )  # fmt: skip


def read_smplx(path: Path, betas: int = USED_BETAS, expressions: int = USED_EXPRESSIONS) -> SmplxModel:
    """A model's file, with so many of its shapes and expressions. Nothing that a pickle says is run.

    Raises:
        InputError: missing, damaged, of another model, or with arrays that do not fit one another.
    """
    arrays = _arrays(path)
    if missing := [name for name in _NEEDED if name not in arrays]:
        raise InputError("This is no model of SMPL-X", where=path, found=f"without {', '.join(missing)}")
    template = _real(arrays["v_template"])
    regressor, weights = _real(_dense(arrays["J_regressor"], path)), _real(arrays["weights"])
    shapes, turns = _real(arrays["shapedirs"]), _real(arrays["posedirs"])
    faces = np.asarray(arrays["f"]).astype(np.int64)
    count = len(template)
    _check(path, "v_template", template, (count, 3))
    _check(path, "weights", weights, (count, len(PARENTS)))
    _check(path, "J_regressor", regressor, (len(PARENTS), count))
    _check(path, "shapedirs", shapes, (count, 3, shapes.shape[-1]))
    _check(path, "posedirs", turns, (count, 3, 9 * (len(PARENTS) - 1)))
    _check(path, "f", faces, (len(faces), 3))
    parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
    if parents[1:].tolist() != list(PARENTS[1:]):
        raise InputError("The joints are not those of SMPL-X", where=path, found=str(parents.tolist())[:200])
    if not len(faces) or faces.min() < 0 or faces.max() >= count:
        raise InputError("Triangles name vertices that are not there", where=path, expected=f"below {count}")
    first = _SHAPES if shapes.shape[-1] >= 400 else _OLD_SHAPES
    uvs, face_uvs = _texture(arrays, faces)
    components, means = _hands(arrays, path)
    return SmplxModel(
        template=_tensor(template),
        faces=torch.from_numpy(faces),
        shape_dirs=_tensor(shapes[..., : min(betas, first)].transpose(2, 0, 1)),
        expression_dirs=_tensor(shapes[..., first : first + expressions].transpose(2, 0, 1)),
        pose_dirs=_tensor(turns.reshape(3 * count, -1).T),
        regressor=_tensor(regressor),
        weights=_tensor(weights),
        uvs=uvs,
        face_uvs=face_uvs,
        hand_components=components,
        hand_means=means,
    )


def _arrays(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise InputError("A model's file is missing", where=path)
    wanted = (*_NEEDED, "vt", "ft", *_HANDS)
    try:
        if path.suffix == ".npz":
            return plain_arrays(path, wanted, MOST_BYTES)
        return read_pickled_arrays(path, MOST_BYTES, _ITEMS)
    except DAMAGE as error:
        raise InputError("A model's file cannot be read", where=path, found=str(error)[:120]) from error
    except InputError as error:
        raise InputError(
            "A model's file cannot be read", where=path, found=error.found,
            remedy="a .pkl must be one without chumpy (the authors' tools/clean_ch.py makes it); better take the .npz",
        ) from error  # fmt: skip


def _dense(matrix: Any, path: Path) -> np.ndarray:
    """A matrix, or what a pickled sparse one consists of."""
    if not isinstance(matrix, dict):
        return np.asarray(matrix)
    from scipy.sparse import csc_array, csr_array

    try:
        shape = tuple(int(side) for side in matrix["_shape"])
        if len(shape) != 2 or shape[0] != len(PARENTS) or not 0 < shape[1] < 1_000_000:
            raise ValueError(f"a sparse matrix of {shape}")
        kind = csr_array if matrix["by"] == "rows" else csc_array
        found = kind((matrix["data"], matrix["indices"], matrix["indptr"]), shape)
        found.check_format(full_check=True)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            "A sparse matrix in the model is damaged", where=path, found=str(error)[:120]
        ) from error
    return np.asarray(found.toarray())


def _texture(arrays: Mapping[str, Any], faces: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Texture coordinates; of a file without, all are in one corner."""
    if "vt" in arrays and "ft" in arrays:
        uvs, face_uvs = np.asarray(arrays["vt"]), np.asarray(arrays["ft"]).astype(np.int64)
        fits = face_uvs.shape == faces.shape and uvs.ndim == 2 and uvs.shape[1] == 2
        if fits and face_uvs.min() >= 0 and face_uvs.max() < len(uvs):
            return _tensor(_real(uvs)), torch.from_numpy(face_uvs)
    return torch.zeros(1, 2), torch.zeros(len(faces), 3, dtype=torch.long)


def _hands(arrays: Mapping[str, Any], path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Components and means of the fingers; of a file without, each turn by itself and flat hands."""
    if any(name not in arrays for name in _HANDS):
        return torch.eye(45).expand(2, 45, 45).clone(), torch.zeros(2, 45)
    left, right, mean_left, mean_right = (_real(arrays[name]) for name in _HANDS)
    for name, found in zip(_HANDS, (left, right), strict=False):
        _check(path, name, found, (len(left), 45))
    means = np.stack([mean_left.reshape(-1), mean_right.reshape(-1)])
    _check(path, "hands_mean", means, (2, 45))
    return _tensor(np.stack([left, right])), _tensor(means)


def _real(array: Any) -> np.ndarray:
    return np.asarray(array, dtype=np.float32)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _check(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(
            f"{name} of the model does not fit it", where=path, expected=f"finite, {'x'.join(map(str, shape))}",
            found="x".join(map(str, array.shape)),
        )  # fmt: skip
