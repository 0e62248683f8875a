"""What trackers of SMPL-X and FLAME write, as poses of SMPL-X's joints.

    EasyMocap   a folder of FRAME.json, each a list of people with `Rh`, `Th`, `poses` (87 of SMPL-X: body, six
                components a hand, jaw and eyes; or 165), `shapes`, `expression`. `poses` has no turn of the root:
                Rh turns the whole about the model's origin
    ExAvatar    a folder of FRAME.json with root_pose, body_pose, jaw_pose, leye_pose, reye_pose, lhand_pose,
                rhand_pose, expr, trans; fingers are whole, not away from a mean
    VHAP        an .npz of FLAME: rotation, neck_pose, jaw_pose, eyes_pose, expr, shape, translation; a row a frame.
                Of a person that is the head alone: SMPL-X's neck turns as FLAME's root, its head as FLAME's neck

None of them says how many frames a second there are: 30 are taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion.motion import MOST_TURNS
from simulacra.recon.runs.plain_arrays import DAMAGE, plain_arrays
from simulacra.render.runtime.errors import InputError

ASSUMED_FPS = 30.0
JOINTS = 55
# Where the pelvis of the mean person is from the model's origin, metres; a shape moves it by a centimetre or two.
MEAN_PELVIS = (0.0, -0.35, 0.01)
_VHAP = ("rotation", "neck_pose", "jaw_pose", "eyes_pose", "expr", "shape", "translation")
_EXAVATAR = {
    "root_pose": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "lhand_pose": 45, "rhand_pose": 45,
}  # fmt: skip
_NECK, _HEAD, _JAW = 12, 15, 22
_MOST_BYTES, _MOST_JSON = 512 << 20, 4 << 20


@dataclass(frozen=True)
class Track:
    """A tracked person in the terms of SMPL-X.

    Attributes:
        maker: who wrote it.
        rotations: of each joint on top of its parent's, rotation vectors, away from the T-pose.
        translation: metres, as the `smplx` package counts it.
        expression: coefficients, as many as there are.
        betas: likewise; none where there are none.
        hand_components: of the fingers by hand, to be added up by who has the model; None where they are whole.
        remarks: what of the files is not used, in words.
    """

    maker: str
    rotations: Float[np.ndarray, "t 55 3"]
    translation: Float[np.ndarray, "t 3"]
    expression: Float[np.ndarray, "t e"]
    betas: Float[np.ndarray, " s"]
    hand_components: Float[np.ndarray, "t 2 c"] | None
    remarks: str


def is_track(path: Path) -> bool:
    """Whether a path is one of a tracker: a folder, or an .npz of FLAME."""
    if path.is_dir():
        return True
    if path.suffix.lower() != ".npz":
        return False
    try:
        return {"rotation", "jaw_pose"} <= plain_arrays(path, ("rotation", "jaw_pose"), _MOST_BYTES).keys()
    except DAMAGE:
        return False


def load_track(path: Path, person: int = 0, pelvis: tuple[float, float, float] = MEAN_PELVIS) -> Track:
    """A tracked person.

    Args:
        path: a folder of JSON files, or an .npz.
        person: the `id` in EasyMocap's files.
        pelvis: from the model's origin, metres, about which EasyMocap's turns are not.

    Raises:
        InputError: missing, damaged, or of another layout.
    """
    if not path.is_dir():
        return _vhap(path)
    files = sorted(
        (file for file in path.glob("*.json") if file.stem.isdigit()), key=lambda file: int(file.stem)
    )
    if not files:
        raise InputError("A folder holds no FRAME.json", where=path, expected="EasyMocap's, or ExAvatar's")
    if len(files) * JOINTS > MOST_TURNS:
        raise InputError(
            "A motion has more frames than are read",
            where=path,
            found=len(files),
            expected=f"at most {MOST_TURNS // JOINTS}",
        )
    frames = [(file, _read(file)) for file in files]
    if isinstance(frames[0][1], dict) and "root_pose" in frames[0][1]:
        return _exavatar(frames)
    return _easymocap(frames, person, pelvis)


def _vhap(path: Path) -> Track:
    try:
        if not path.is_file():
            raise InputError("A motion file is missing", where=path)
        arrays = plain_arrays(path, _VHAP, _MOST_BYTES)
    except DAMAGE as error:
        raise InputError("An .npz of FLAME cannot be read", where=path, found=str(error)[:120]) from error
    frames = len(np.atleast_2d(arrays.get("rotation", np.zeros((0, 3)))))
    sizes = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
    parts = {name: _numbers(arrays.get(name), frames * size, path, name) for name, size in sizes.items()}
    rotations = np.zeros((frames, JOINTS, 3))
    rotations[:, _NECK] = parts["rotation"].reshape(frames, 3)
    rotations[:, _HEAD] = parts["neck_pose"].reshape(frames, 3)
    rotations[:, _JAW] = parts["jaw_pose"].reshape(frames, 3)
    rotations[:, _JAW + 1 : _JAW + 3] = parts["eyes_pose"].reshape(frames, 2, 3)
    expression = np.atleast_2d(arrays.get("expr", np.zeros((frames, 0)))).astype(np.float64)
    if len(expression) != frames or not np.isfinite(expression).all():
        raise InputError("Expressions do not fit the poses", where=path, found=str(expression.shape))
    unused = "shape (FLAME's own), and where the head is"
    return Track("VHAP", rotations, np.zeros((frames, 3)), expression, np.zeros(0), None, unused)


def _exavatar(frames: list[tuple[Path, Any]]) -> Track:
    rows, places, expressions = [], [], []
    for file, said in frames:
        if not isinstance(said, dict):
            raise InputError("A frame is no object", where=file)
        rows.append(np.concatenate([_numbers(said.get(key), n, file, key) for key, n in _EXAVATAR.items()]))
        places.append(_numbers(said.get("trans"), 3, file, "trans"))
        expressions.append(_numbers(said.get("expr", []), None, file, "expr"))
    return Track(
        "ExAvatar", np.stack(rows).reshape(-1, JOINTS, 3), np.stack(places), _stacked(expressions, frames[0][0]),
        np.zeros(0), None, "offsets of face and joints, which lie in other files",
    )  # fmt: skip


def _easymocap(frames: list[tuple[Path, Any]], person: int, pelvis: tuple[float, float, float]) -> Track:
    from scipy.spatial.transform import Rotation

    rows, hands, places, expressions, betas, missing = [], [], [], [], np.zeros(0), 0
    for file, said in frames:
        people = said.get("annots", []) if isinstance(said, dict) else said
        own = [each for each in people if isinstance(each, dict) and each.get("id", 0) == person]
        if not own:
            missing += 1
            continue
        turn = Rotation.from_rotvec(_numbers(own[0].get("Rh"), 3, file, "Rh"))
        poses = _numbers(own[0].get("poses"), None, file, "poses")
        if poses.size not in (87, 165):
            raise InputError(
                "Poses are not of SMPL-X", where=file, expected="87 or 165 numbers", found=str(poses.size)
            )
        whole = np.zeros(JOINTS * 3)
        if poses.size == 165:
            whole[:] = poses
        else:
            whole[:66], whole[66:75] = poses[:66], poses[78:]
            hands.append(poses[66:78].reshape(2, 6))
        # `poses` may hold a turn of the root too, which comes before Rh.
        root = Rotation.from_rotvec(whole[:3])
        whole[:3] = (turn * root).as_rotvec()
        at = np.array(pelvis)
        # Vertices are R (S (x - p) + p) + t with turns R outside and S inside, and R S (x - p) + p + t' here.
        places.append(turn.apply(at) - at + _numbers(own[0].get("Th"), 3, file, "Th"))
        rows.append(whole)
        expressions.append(_numbers(own[0].get("expression", []), None, file, "expression"))
        betas = _numbers(own[0].get("shapes", []), None, file, "shapes")
    if not rows:
        raise InputError("This person is in no frame", where=frames[0][0].parent, found=f"id {person}")
    first = frames[0][0]
    if hands and len(hands) != len(rows):
        raise InputError("Frames have poses of different lengths", where=first.parent)
    gone = f"{missing} frames without the person, which are left out" if missing else ""
    return Track(
        "EasyMocap", np.stack(rows).reshape(-1, JOINTS, 3), np.stack(places), _stacked(expressions, first), betas,
        np.stack(hands) if hands else None, gone,
    )  # fmt: skip


def _read(file: Path) -> Any:
    try:
        if file.stat().st_size > _MOST_JSON:
            raise ValueError(f"more than {_MOST_JSON} bytes")
        return json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("A frame cannot be read", where=file, found=str(error)[:120]) from error


def _numbers(value: object, count: int | None, where: Path, name: str) -> np.ndarray:
    """Finite numbers in a row.

    Raises:
        InputError: something else, or not so many.
    """
    try:
        found = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError("Numbers are missing", where=where, expected=name, found=str(error)[:120]) from error
    if not np.isfinite(found).all() or (count is not None and found.size != count):
        raise InputError(
            "Numbers are missing or not finite",
            where=where,
            expected=f"{name}, {count} numbers",
            found=str(found.size),
        )
    return found


def _stacked(expressions: list[np.ndarray], where: Path) -> np.ndarray:
    if len({len(each) for each in expressions}) > 1:
        raise InputError("Frames have expressions of different lengths", where=where.parent)
    return np.stack(expressions)
