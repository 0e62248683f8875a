"""session.json: what may be in it, and what holds for every camera that can exist."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pydantic
import pydantic_core

from simulacra.recon.runs.run_folder import SESSION_FILE, check_is_session
from simulacra.recon.session.lens import Lens, LensModel, check_lens
from simulacra.recon.session.record import Frame, Session, SessionCamera, Source
from simulacra.render.runtime.errors import CalibrationError, InputError

# 2 added lens_model. A session of version 1 has OpenCV's lens coefficients only, and is read as before.
SCHEMA = 2
READABLE = (1, 2)
# A rotation out of a text file with six digits is orthonormal to this.
ROTATION_TOLERANCE = 1e-3
# Pixels and metres; what is beyond does not fit the numbers that pictures are made with.
LARGEST = 1e9
# Of frames: exact in every number that they are kept as (64 bit whole numbers, JSON's doubles).
LARGEST_INDEX = 1 << 53
# Files are called after cameras, with an ending and a part of a name before it.
LONGEST_CAMERA_NAME = 200
# What the owner of a session writes into `about`; see docs/sessions.md.
CONSENT_FIELDS = ("subject", "consent", "retain_until")


_Kind = TypeVar("_Kind", bound=pydantic.BaseModel)


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class _CameraFile(_Strict):
    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_CAMERA_NAME)
    width: int = pydantic.Field(gt=0, le=65536)
    height: int = pydantic.Field(gt=0, le=65536)
    K: list[list[float]]
    viewmat: list[list[float]]
    distortion: list[float] | None = None
    lens_model: LensModel | None = None
    depth_scale: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)


class _SourceFile(_Strict):
    file: str
    number: int | None = pydantic.Field(default=None, ge=0, lt=1 << 63)
    time: float | None = pydantic.Field(default=None, allow_inf_nan=False)


class _FrameFile(_Strict):
    index: int = pydantic.Field(ge=0, le=LARGEST_INDEX)
    sources: dict[str, _SourceFile]


class _SessionFile(_Strict):
    schema_version: int
    units: str
    cameras: list[_CameraFile]
    frames: list[
        Any
    ]  # of `_FrameFile`, one after the other: thousands at a time would be the most that loading holds
    notes: list[str] = []
    reference: str | None = None
    about: dict[str, Any] = {}


def load_session(root: str | Path) -> Session:
    """Reads and checks a session's description.

    Raises:
        InputError: no session there, or a description that says nothing or too much.
        CalibrationError: a camera that cannot be.
    """
    root = Path(root)
    path = root / SESSION_FILE
    check_is_session(root)
    try:
        content = pydantic_core.from_json(path.read_bytes())
    except ValueError as error:
        raise InputError("a session's description is no JSON", where=path, found=error) from error
    described = _validate(_SessionFile, content, str(path))
    if described.schema_version not in READABLE or described.units != "metres":
        raise InputError(
            "a session is of another version",
            where=path,
            expected=f"schema_version {' or '.join(map(str, READABLE))} in metres",
            found=f"{described.schema_version} in {described.units}",
        )
    # Lens models came with version 2: a program of version 1 would have written coefficients that mean another lens.
    if described.schema_version < 2 and any(camera.lens_model for camera in described.cameras):
        raise InputError("a session of version 1 has no lens models", where=path, expected="schema_version 2")
    cameras = tuple(_camera(camera, path) for camera in described.cameras)
    frames = _frames(described, path)
    session = Session(
        root,
        cameras,
        frames,
        tuple(described.notes),
        described.about,
        described.reference,
        _digest(content),
    )
    # Files that lead out of the session are refused before anything reads them.
    for name in {source.file for frame in session.frames for source in frame.sources.values()} | {
        described.reference or SESSION_FILE
    }:
        session.path(name)
    return session


def _validate(model: type[_Kind], content: Any, where: str) -> _Kind:
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            "a session's description is wrong", where=f"{where}, {key}", found=first["msg"]
        ) from error


def _digest(content: dict[str, Any]) -> str:
    """sha256 of a description, without consent and reference: filling them in afterwards asks for no new run."""
    described = {name: part for name, part in content.items() if name != "reference"}
    if "about" in described:
        left_out = (*CONSENT_FIELDS, "reference")
        described["about"] = {name: part for name, part in described["about"].items() if name not in left_out}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _frames(described: _SessionFile, path: Path) -> tuple[Frame, ...]:
    names = [camera.name for camera in described.cameras]
    if len(set(names)) != len(names) or not names:
        raise InputError(
            "a session's cameras need names of their own", where=path, found=", ".join(names) or "none"
        )
    frames = []
    for place, content in enumerate(described.frames):
        frame = _validate(_FrameFile, content, f"{path}, frames.{place}")
        unknown = set(frame.sources) - set(names)
        if unknown:
            raise InputError(
                "a frame names a camera that is not there", where=path, found=", ".join(sorted(unknown))
            )
        sources = {name: Source(s.file, s.number, s.time) for name, s in frame.sources.items()}
        frames.append(Frame(frame.index, sources))
    indices = [frame.index for frame in frames]
    if sorted(set(indices)) != indices or not indices:
        raise InputError(
            "a session's frames are not in rising order", where=path, found=f"{len(indices)} frames"
        )
    return tuple(frames)


def _camera(described: _CameraFile, path: Path) -> SessionCamera:
    try:
        K, viewmat = np.asarray(described.K, float), np.asarray(described.viewmat, float)
    except ValueError as error:
        raise CalibrationError(
            "a camera's matrices have rows of different length", where=f"{path}, camera {described.name}"
        ) from error
    check_camera(described.name, K, viewmat, described.width, described.height, path)
    lens = None
    if described.distortion:
        lens = Lens(described.lens_model or "opencv", tuple(described.distortion))
        check_lens(lens, f"{path}, camera {described.name}", K)
    return SessionCamera(
        described.name, described.width, described.height, K, viewmat, lens, described.depth_scale
    )


def check_camera(
    name: str, K: np.ndarray, viewmat: np.ndarray, width: int, height: int, where: object
) -> None:
    """What holds for every camera that can exist.

    Raises:
        CalibrationError: not finite, not a pinhole matrix, a mirrored or sheared rotation, a principal point far
            outside of the image.
    """
    where = f"{where}, camera {name}"
    if (
        K.shape != (3, 3)
        or viewmat.shape != (4, 4)
        or not (np.isfinite(K).all() and np.isfinite(viewmat).all())
    ):
        raise CalibrationError(
            "a camera's matrices are not finite numbers", where=where, found=f"K {K.tolist()}"
        )
    if max(np.abs(K).max(), np.abs(viewmat[:3, 3]).max()) > LARGEST:
        raise CalibrationError(
            "a camera's numbers are larger than can be", where=where, found=f"K {K.tolist()}"
        )
    if K[0, 0] <= 0 or K[1, 1] <= 0 or np.abs(K[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 1e-6 or K[2, 2] != 1:
        raise CalibrationError(
            "K is not a pinhole matrix",
            where=where,
            expected="positive focal lengths, no skew, last row 0 0 1",
            found=K.tolist(),
        )
    if not (-0.5 * width < K[0, 2] < 1.5 * width and -0.5 * height < K[1, 2] < 1.5 * height):
        raise CalibrationError(
            "the principal point is far outside of the image: K is of another image size",
            where=where,
            code="principal-point",
            expected=f"about ({width / 2:.0f}, {height / 2:.0f})",
            found=f"({K[0, 2]:.0f}, {K[1, 2]:.0f})",
        )
    rotation = viewmat[:3, :3]
    # Entries first: products of huge ones overflow.
    small = np.abs(rotation).max() < 2
    if small and np.linalg.det(rotation) < 0:
        raise CalibrationError(
            "a camera's rotation mirrors the world", where=where, code="rotation", expected="determinant +1",
            found=f"{np.linalg.det(rotation):.3f}", remedy="an axis is flipped, or a matrix of another convention",
        )  # fmt: skip
    rigid = small and np.abs(rotation @ rotation.T - np.eye(3)).max() <= ROTATION_TOLERANCE
    if not rigid or not np.allclose(viewmat[3], [0, 0, 0, 1]):
        raise CalibrationError(
            "a camera's rotation is not rigid",
            where=where,
            code="rotation",
            found=[[float(f"{value:.4g}") for value in row] for row in rotation],
        )


def describe_session(
    cameras: Sequence[SessionCamera],
    frames: Sequence[Frame],
    *,
    notes: Sequence[str],
    about: Mapping[str, Any],
    reference: str | None = None,
) -> str:
    """The text of session.json."""
    described = {
        "schema_version": SCHEMA,
        "units": "metres",
        "cameras": [
            {
                "name": c.name,
                "width": c.width,
                "height": c.height,
                "K": c.K.tolist(),
                "viewmat": c.viewmat.tolist(),
                "lens_model": c.lens.model if c.lens else None,
                "distortion": list(c.lens.coefficients) if c.lens else None,
                "depth_scale": c.depth_scale,
            }
            for c in cameras
        ],
        "frames": [
            {
                "index": f.index,
                "sources": {
                    n: {"file": s.file, "number": s.number, "time": s.time} for n, s in f.sources.items()
                },
            }
            for f in frames
        ],
        "notes": list(notes),
        "reference": reference,
        "about": dict(about),
    }
    # Written piece by piece: a list of all pieces is many times the text.
    text = io.StringIO()
    json.dump(described, text, indent=1)
    return text.getvalue() + "\n"
