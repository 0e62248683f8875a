"""Poses of SMPL, SMPL-H and SMPL-X in .npz files (AMASS and what writes like it) as a motion.

Such files hold how each joint of the model turns from its T-pose, as rotation vectors, and where the body is. The
skeleton that they turn is the model's, with the shape of `betas`; neither is in the file, and the model is not free.
It stands here as what it is in every shape: a person in a T-pose that looks along +z, y up, arms out along x, whose
offsets are given to a centimetre, which sets directions of limbs to a few degrees. The body that is moved has its own.

    poses                        rotation vectors of all joints: 72 numbers (SMPL), 156 (SMPL-H), 165 (SMPL-X) a frame
    root_orient pose_body pose_hand [pose_jaw pose_eye]       the same in parts (SMPL-X of AMASS)
    global_orient body_pose left_hand_pose right_hand_pose    the same in parts (the `smplx` package)
    trans, or transl             metres
    mocap_frame_rate, mocap_framerate, or fps

Order and parents of the joints are those of the `smplx` package's `joint_names.py`. Which way is up the poses say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion.motion import MOST_TURNS, Motion
from simulacra.recon.motion.tracks import ASSUMED_FPS, JOINTS, load_track
from simulacra.recon.runs.plain_arrays import DAMAGE, names_in, plain_arrays
from simulacra.render.runtime.errors import InputError

# Of the arrays that are read: three quarters of an hour of SMPL-X at 120 frames a second in float64.
MOST_BYTES = 512 << 20
MOST_NAMED = 12
RATES = ("mocap_frame_rate", "mocap_framerate", "fps")
PLACES = ("trans", "transl")
# Parts of a pose, by both names, and how many joints they have.
_ROOT, _BODY = ("root_orient", "global_orient"), ("pose_body", "body_pose")
_HANDS = ("left_hand_pose", "right_hand_pose")
_HAND = 15
# Joint, parent, and the offset from it in the T-pose of the left side and the middle, metres.
_TRUNK: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("left_hip", "pelvis", (0.06, -0.09, -0.02)), ("right_hip", "pelvis", (0.06, -0.09, -0.02)),
    ("spine1", "pelvis", (0.0, 0.11, -0.03)),
    ("left_knee", "left_hip", (0.05, -0.38, 0.0)), ("right_knee", "right_hip", (0.05, -0.38, 0.0)),
    ("spine2", "spine1", (0.0, 0.13, 0.0)),
    ("left_ankle", "left_knee", (-0.02, -0.41, -0.03)), ("right_ankle", "right_knee", (-0.02, -0.41, -0.03)),
    ("spine3", "spine2", (0.0, 0.05, 0.02)),
    ("left_foot", "left_ankle", (0.04, -0.06, 0.12)), ("right_foot", "right_ankle", (0.04, -0.06, 0.12)),
    ("neck", "spine3", (0.0, 0.18, -0.03)),
    ("left_collar", "spine3", (0.06, 0.09, -0.01)), ("right_collar", "spine3", (0.06, 0.09, -0.01)),
    ("head", "neck", (0.0, 0.14, 0.03)),
    ("left_shoulder", "left_collar", (0.11, 0.05, -0.01)), ("right_shoulder", "right_collar", (0.11, 0.05, -0.01)),
    ("left_elbow", "left_shoulder", (0.26, -0.03, -0.02)), ("right_elbow", "right_shoulder", (0.26, -0.03, -0.02)),
    ("left_wrist", "left_elbow", (0.25, 0.01, 0.0)), ("right_wrist", "right_elbow", (0.25, 0.01, 0.0)),
)  # fmt: skip
# First knuckle from the wrist, and the two bones after it, of a left hand that lies palm down.
_FINGERS = {
    "index": ((0.10, 0.0, 0.02), (0.03, 0.0, 0.0)), "middle": ((0.11, 0.0, 0.0), (0.03, 0.0, 0.0)),
    "pinky": ((0.08, -0.01, -0.04), (0.02, 0.0, 0.0)), "ring": ((0.09, 0.0, -0.02), (0.03, 0.0, 0.0)),
    "thumb": ((0.04, -0.02, 0.03), (0.02, -0.01, 0.02)),
}  # fmt: skip
_FACE = tuple(
    (name, "head", (x, 0.0, 0.05)) for name, x in (("jaw", 0.0), ("left_eye", 0.03), ("right_eye", 0.03))
)


def load_smpl(path: Path) -> tuple[Motion, str]:
    """The motion of an .npz of poses, and in words what of the file is not used.

    Raises:
        InputError: missing, damaged, or no poses of these models; or without a rate; or more frames than there may be.
    """
    wanted = ("poses", *_ROOT, *_BODY, "pose_hand", *_HANDS, *PLACES, *RATES)
    try:
        if not path.is_file():
            raise InputError("A motion file is missing", where=path)
        arrays, names = plain_arrays(path, wanted, MOST_BYTES), names_in(path)
    except DAMAGE as error:
        raise InputError("An .npz of poses cannot be read", where=path, found=str(error)[:120]) from error
    poses = _poses(arrays, path)
    frames = len(poses)
    skeleton = _skeleton(poses.shape[1])
    if frames * len(skeleton) > MOST_TURNS:
        raise InputError(
            "A motion has more frames than are read", where=path, found=frames,
            expected=f"at most {MOST_TURNS // len(skeleton)} of {len(skeleton)} joints",
        )  # fmt: skip
    motion = Motion(
        tuple(name for name, _, _ in skeleton),
        np.array([parent for _, parent, _ in skeleton]),
        np.array([offset for _, _, offset in skeleton]),
        _matrices(poses),
        _places(arrays, frames, path),
        _rate(arrays, path),
    )
    return motion, _say_unused([name for name in names if name not in arrays])


def load_tracked(path: Path) -> tuple[Motion, str]:
    """The motion that a tracker wrote (`recon.motion.tracks`), and in words what of it is not used.

    Raises:
        InputError: missing, damaged, or of another layout.
    """
    track = load_track(path)
    skeleton = _skeleton(JOINTS)
    motion = Motion(
        tuple(name for name, _, _ in skeleton),
        np.array([parent for _, parent, _ in skeleton]),
        np.array([offset for _, _, offset in skeleton]),
        _matrices(track.rotations),
        track.translation,
        ASSUMED_FPS,
    )
    fingers = "fingers, which are components of a model" if track.hand_components is not None else ""
    unused = ", ".join(filter(None, (track.remarks, fingers, "expressions")))
    return motion, f"of {track.maker}, taken at {ASSUMED_FPS:g} frames a second; not used: {unused}"


def _poses(arrays: Mapping[str, np.ndarray], path: Path) -> Float[np.ndarray, "t n 3"]:
    """Rotation vectors of all joints: of the whole, or of the body and the hands where the file has them so."""
    poses = arrays["poses"] if "poses" in arrays else _joined(arrays, path)
    if poses.ndim < 2 or not len(poses) or poses[0].size not in (66, 72, 156, 165):
        raise _no_poses(path, f"an array of {'x'.join(map(str, poses.shape))}")
    poses = poses.reshape(len(poses), -1, 3).astype(np.float64)
    if not np.isfinite(poses).all():
        raise InputError("Poses are not finite numbers", where=path)
    return poses


def _joined(arrays: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    body = [arrays[name] for names in (_ROOT, _BODY) for name in names if name in arrays]
    if len(body) != 2:
        raise _no_poses(path, ", ".join(sorted(arrays)) or "none of these arrays")
    hands = [arrays[name] for name in ("pose_hand", *_HANDS) if name in arrays]
    frames = len(body[0]) if body[0].ndim else 0
    flat = [
        part.reshape(frames, -1) if part.ndim and len(part) == frames and frames else None for part in body
    ]
    flat += [part.reshape(frames, -1) for part in hands if part.ndim and len(part) == frames and frames]
    whole = [part for part in flat if part is not None]
    if flat[0] is None or flat[1] is None or whole[0].shape[1] + whole[1].shape[1] not in (66, 72):
        raise _no_poses(path, " and ".join("x".join(map(str, part.shape)) for part in body))
    # Hands of another form (principal components) are left out: the wrists turn all the same.
    fingers = sum(part.shape[1] for part in whole[2:]) == 2 * 3 * _HAND and whole[1].shape[1] == 63
    return np.concatenate(whole if fingers else whole[:2], axis=1)


def _no_poses(path: Path, found: str) -> InputError:
    return InputError(
        "An .npz holds no poses of SMPL, SMPL-H or SMPL-X", where=path, found=found,
        expected="poses [frames, 72, 156 or 165], or root_orient and pose_body (AMASS), or global_orient and body_pose",
    )  # fmt: skip


def _skeleton(joints: int) -> list[tuple[str, int, tuple[float, float, float]]]:
    """Names, parents and offsets; of SMPL the hands are one joint each, of SMPL-X the face comes before the fingers."""
    rows: list[tuple[str, str, tuple[float, float, float]]] = list(_TRUNK)
    if joints == 24:
        rows += [(f"{side}_hand", f"{side}_wrist", (0.09, -0.01, 0.0)) for side in ("left", "right")]
    if joints == 55:
        rows += list(_FACE)
    if joints > 24:
        for side in ("left", "right"):
            for finger, (first, bone) in _FINGERS.items():
                parents = (f"{side}_wrist", f"{side}_{finger}1", f"{side}_{finger}2")
                rows += [
                    (f"{side}_{finger}{i}", parent, first if i == 1 else bone)
                    for i, parent in enumerate(parents, 1)
                ]
    places = {"pelvis": 0}
    skeleton = [("pelvis", -1, (0.0, 0.0, 0.0))]
    for name, parent, (x, y, z) in rows[: joints - 1]:
        places[name] = len(skeleton)
        skeleton.append((name, places[parent], (-x if name.startswith("right") else x, y, z)))
    return skeleton


def _matrices(vectors: Float[np.ndarray, "t n 3"]) -> Float[np.ndarray, "t n 3 3"]:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape, 3)


def _places(arrays: Mapping[str, np.ndarray], frames: int, path: Path) -> Float[np.ndarray, "t 3"]:
    """Of the pelvis but for where the model's own origin is, which no shape is needed for."""
    places = next((arrays[name] for name in PLACES if name in arrays), np.zeros((frames, 3)))
    if places.shape != (frames, 3) or not np.isfinite(places).all():
        raise InputError(
            "Where the body is does not fit its poses", where=path, expected=f"trans [{frames}, 3], metres",
            found="x".join(map(str, places.shape)),
        )  # fmt: skip
    return places.astype(np.float64)


def _rate(arrays: Mapping[str, np.ndarray], path: Path) -> float:
    found = [arrays[name] for name in RATES if name in arrays]
    rate = float(found[0].reshape(-1)[0]) if found and found[0].size == 1 else float("nan")
    if not 0.01 <= rate <= 10_000:
        raise InputError(
            "An .npz of poses does not say how many frames a second it has", where=path,
            expected=f"one of {', '.join(RATES)}, a number", found=f"{rate:g}" if found else "none of them",
            remedy="write it: numpy.savez(NEW, **numpy.load(FILE), fps=RATE)",
        )  # fmt: skip
    return rate


def _say_unused(names: list[str]) -> str:
    said = ", ".join(repr(name[:40])[1:-1] for name in sorted(names)[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    shape = "; the shape (betas) is the avatar's own" if "betas" in names else ""
    return f"not used: {said}{more}{shape}" if names else ""
