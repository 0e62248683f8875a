"""Centres of joints over time, as markers of motion capture: TRC (OpenSim) and C3D. +Y up, millimetres.

Names are those of OpenSim's and Pose2Sim's models of joint centres. They are centres of the body's joints, not of
markers on skin.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from simulacra.render.body import BodyModel, BodyPose, RestBody
from simulacra.render.runtime.errors import MissingExtraError
from simulacra.render.runtime.whole_files import sync, whole_file

MILLIMETRES = 1000.0
FRAMES_AT_ONCE = 512


def _joints() -> dict[str, str]:
    names = {"Hip": "root", "Neck": "neck01", "Head": "head"}
    limbs = {
        "Hip": "upperleg01",
        "Knee": "lowerleg01",
        "Ankle": "foot",
        "BigToe": "toe1-1",
        "SmallToe": "toe5-1",
    }
    limbs |= {"Shoulder": "upperarm01", "Elbow": "lowerarm01", "Wrist": "wrist"}
    limbs |= {"Index": "finger2-1", "Pinky": "finger5-1", "Eye": "eye"}
    return names | {f"{side}{joint}": f"{bone}.{side}" for side in "RL" for joint, bone in limbs.items()}


JOINTS: Mapping[str, str] = _joints()
"""Markers and the bones whose heads they are."""


@dataclass(frozen=True)
class Markers:
    """Named points in `t` frames.

    Attributes:
        names: of the `n` points.
        points: world, metres.
        fps: frames a second.
    """

    names: tuple[str, ...]
    points: Float[np.ndarray, "t n 3"]
    fps: float


def joint_markers(body: BodyModel, rest: RestBody, pose: BodyPose, fps: float) -> Markers:
    """The centres of the person's joints."""
    bones = [body.bone_names.index(bone) for bone in JOINTS.values()]
    places = []
    for rows in torch.arange(len(pose.translation)).split(FRAMES_AT_ONCE):
        some = BodyPose(pose.rotations[rows], pose.translation[rows], pose.expression[rows])
        places.append(body.pose(rest, some, vertices=body.soles[:1]).T_world_bone[:, bones, :3, 3])
    return Markers(tuple(JOINTS), torch.cat(places).double().numpy(), fps)


def write_trc(path: Path, markers: Markers) -> None:
    """Writes a TRC, atomically: tabs, five lines of heading and an empty one, times from 0."""
    count, points = len(markers.points), len(markers.names)
    rate = f"{markers.fps:g}"
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        "\t".join([rate, rate, str(count), str(points), "mm", rate, "1", str(count)]),
        "Frame#\tTime\t" + "\t\t\t".join(markers.names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{k}" for k in range(1, points + 1) for axis in "XYZ"),
        "",
    ]
    for number, row in enumerate(markers.points.reshape(count, -1) * MILLIMETRES):
        values = "\t".join(f"{value:.3f}" for value in row)
        lines.append(f"{number + 1}\t{number / markers.fps:.6f}\t{values}")
    with whole_file(path) as stream:
        stream.write(("\n".join(lines) + "\n").encode())
    sync(path.parent)


def write_c3d(path: Path, markers: Markers) -> None:
    """Writes a C3D, atomically.

    Raises:
        MissingExtraError: ezc3d is not installed.
    """
    try:
        import ezc3d
    except ImportError as error:
        raise MissingExtraError(
            "C3D is written by ezc3d, which is not installed", remedy="pip install 'simulacra[c3d]'"
        ) from error
    made = ezc3d.c3d()
    parameters = made["parameters"]
    parameters["POINT"]["RATE"]["value"] = [markers.fps]
    parameters["POINT"]["LABELS"]["value"] = list(markers.names)
    parameters["POINT"]["UNITS"]["value"] = ["mm"]
    # Which of the file's axes points right and up as one looks at it: Y is up.
    made.add_parameter("POINT", "X_SCREEN", ["+X"])
    made.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    homogeneous = np.ones((4, len(markers.names), len(markers.points)))
    homogeneous[:3] = markers.points.transpose(2, 1, 0) * MILLIMETRES
    made["data"]["points"] = homogeneous
    with tempfile.TemporaryDirectory() as work:  # it takes names that end so only
        made.write(str(Path(work) / "a.c3d"))
        content = (Path(work) / "a.c3d").read_bytes()
    with whole_file(path) as stream:
        stream.write(content)
    sync(path.parent)
