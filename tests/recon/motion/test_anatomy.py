"""Skeletons of every writer are read: parts by hierarchy and names, the stance and the way up by the frames."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.motion import describe_skeleton, find_skeleton
from simulacra.recon.motion.anatomy import find_anatomy
from simulacra.recon.motion.motion import Motion
from simulacra.recon.motion.names import read_names
from simulacra.recon.motion.stance import find_stance
from simulacra.render.runtime.errors import InputError
from tests.recon.motion.writers import WRITERS, Turns, Writer, write

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def walk(frames: int = 6) -> Turns:
    """Legs that swing, arms at the sides, a trunk that turns and leans a little."""
    phase, none = np.linspace(0.2, 5.4, frames), np.zeros(frames)
    turns = {"chest": np.stack([0.1 + none, 0.2 * np.sin(phase), none], 1)}
    for sign in (1, -1):
        turns |= {
            f"thigh {sign}": np.stack([-0.4 * sign * np.sin(phase), none, none], 1),
            f"shin {sign}": np.stack([0.3 + 0.3 * sign * np.cos(phase), none, none], 1),
            f"upper {sign}": np.stack([none, none, sign * (0.1 * np.sin(phase) - 1.2)], 1),
        }
    return turns


def named(motion: Motion, parts: dict[str, tuple[int, ...]]) -> dict[str, tuple[str, ...]]:
    return {part: tuple(motion.names[joint] for joint in joints) for part, joints in parts.items()}


@pytest.mark.parametrize("zero", ["stance", "line", "own"])
@pytest.mark.parametrize("writer", WRITERS)
def test_every_writers_skeleton_is_read(writer: str, zero: str) -> None:
    motion, parts = write(WRITERS[writer], zero, walk(), 6)
    skeleton = find_skeleton(motion)
    assert named(motion, dict(skeleton.anatomy.parts)) == parts
    stance = find_stance(motion, skeleton.anatomy)
    assert (stance.frame is None) == (zero == "stance")
    np.testing.assert_allclose(stance.world, np.eye(3), atol=1e-9)
    # The person stands along +Y and faces +Z: the head above, the toes ahead, the left thigh at +X.
    places = {name: stance.places[i] for i, name in enumerate(motion.names)}
    up = places[parts["head"][0]] - places[parts["pelvis"][0]]
    assert up[1] > 0.97 * np.linalg.norm(up)
    across = places[parts["left_thigh"][0]] - places[parts["right_thigh"][0]]
    assert across[0] > 0.99 * np.linalg.norm(across)


def test_what_is_recognized_lacking_and_not_used_is_one_line() -> None:
    for writer, said in {
        "Mixamo": "3 frames at 30 a second; 53 joints, Mixamo's names; not used: HeadTop_End",
        "LAFAN1": "3 frames at 30 a second; 22 joints, LAFAN1's names; without fingers (they keep still);"
        " all joints used",
        "no names": "3 frames at 30 a second; 21 joints, names of its own, read by the hierarchy; without fingers"
        " (they keep still); all joints used",
    }.items():
        motion, _ = write(WRITERS[writer])
        assert describe_skeleton(motion, find_skeleton(motion)) == said
    thumbs = replace(WRITERS["Mixamo"], fingers=("Thumb", "Index"), crown="")
    motion, _ = write(thumbs)
    assert "middle and ring and little fingers" in describe_skeleton(motion, find_skeleton(motion))


def test_one_joint_for_four_fingers_and_fingers_that_only_their_places_tell() -> None:
    motion, _ = write(WRITERS["CMU"])
    mitten = with_joints(motion, "LeftHand", {"LeftFingerBase": (0, 0, 0), "LFingers": (4, 0, 0)})
    mitten = with_joints(mitten, "LeftHand", {"LThumb": (2, 0, 2)})
    parts = named(mitten, dict(find_anatomy(mitten).parts))
    assert parts["left_thumb"] == ("LThumb",) and parts["left_index"] == parts["left_little"] == ("LFingers",)
    strange = replace(
        WRITERS["Mixamo"],
        fingers=("Ka", "Ke", "Ki", "Ko", "Ku"),
        finger=lambda side, f, i: f"{side}{f}{i}",
        crown="",
    )
    motion, expected = write(strange)
    assert named(motion, dict(find_anatomy(motion).parts)) == expected


def with_joints(motion: Motion, parent: str, chain: dict[str, tuple[float, float, float]]) -> Motion:
    """The motion with more joints in a line, and an end site."""
    names, parents, offsets = list(motion.names), motion.parents.tolist(), motion.offsets.tolist()
    for name, offset in [*chain.items(), (f"{list(chain)[-1]}_end", (1.0, 0, 0))]:
        parents.append(names.index(parent))
        names.append(name)
        offsets.append(offset)
        parent = name
    more = np.tile(np.eye(3), (len(motion), len(names) - len(motion.names), 1, 1))
    return replace(
        motion,
        names=tuple(names),
        parents=np.array(parents),
        offsets=np.array(offsets, dtype=np.float64),
        rotations=np.concatenate([motion.rotations, more], 1),
    )


@pytest.mark.parametrize("zero", ["stance", "line"])
def test_the_way_up_is_what_the_frames_say(zero: str) -> None:
    """A root may turn the whole person from the zero pose's axes into others."""
    writer = WRITERS["Mixamo of a game"]
    for world in (np.eye(3), Z_UP, Rotation.from_rotvec([0, 0, -np.pi / 2]).as_matrix()):
        motion, _ = write(writer, zero, walk(), 6, world)
        stance = find_stance(motion, find_anatomy(motion))
        np.testing.assert_allclose(stance.world, world.T, atol=1e-9)


def test_somebody_who_lies_all_the_time_lies() -> None:
    """Hips are near the floor then: the zero pose's axes hold."""
    lying: Turns = {"pelvis": np.tile([-np.pi / 2, 0, 0], (4, 1))}
    motion, _ = write(WRITERS["Mixamo of a game"], turns=lying, frames=4)
    motion = replace(motion, root_positions=np.tile([0.0, 12.0, 30.0], (4, 1)))
    np.testing.assert_allclose(find_stance(motion, find_anatomy(motion)).world, np.eye(3), atol=1e-9)


def test_names_say_sides_and_parts() -> None:
    for name, (side, part) in {
        "mixamorig:LeftUpLeg": ("left", "thigh"),
        "LHipJoint": ("left", "other"),
        "rradius": ("right", "forearm"),
        "LUArm": ("left", "upper_arm"),
        "upperarm_twist_01_r": ("right", "twist"),
        "lThighBend": ("left", "thigh"),
        "HandTipLeft": ("left", "end"),
        "f_index.01.R": ("right", "index"),
        "lowerback": ("", "spine"),
        "L5": ("", ""),
    }.items():
        read = read_names((name,))[0]
        assert (read.side, (*read.parts, "")[0]) == (side, part), name


def test_what_is_no_person_is_refused() -> None:
    motion, _ = write(WRITERS["Mixamo of a game"])
    keep = [i for i, name in enumerate(motion.names) if not any(w in name for w in ("Leg", "Foot", "Toe"))]
    half = replace(
        motion,
        names=tuple(motion.names[i] for i in keep),
        parents=np.array(
            [keep.index(int(motion.parents[i])) if motion.parents[i] >= 0 else -1 for i in keep]
        ),
        offsets=motion.offsets[keep],
        rotations=motion.rotations[:, keep],
    )
    with pytest.raises(InputError, match=r"not understood[\s\S]*no pelvis[\s\S]*--skeleton"):
        find_skeleton(half)
    no_toes = replace(WRITERS["no names"], leg=("M*1", "M*2", "M*3"))
    straight, _ = write(no_toes)
    with pytest.raises(InputError, match="which side of the person is left"):
        find_skeleton(straight)


SEATED = Writer(("A", "B"), ("J1", "J2"), ("J3", "J4"), ("K*1", "K*2", "K*3", "K*4"), ("M*1", "M*2", "M*3"))


def test_a_table_of_names(tmp_path: Path) -> None:
    motion, parts = write(SEATED)
    table = tmp_path / "names.toml"
    one = {"pelvis", "head", "clavicle", "upper_arm", "forearm", "hand", "thigh", "shin", "foot"}
    lines = [
        f"{part} = {names[0]!r}" if part.split("_", 1)[-1] in one else f"{part} = {list(names)}"
        for part, names in parts.items()
    ]
    table.write_text("name = 'the studio'\n[joints]\n" + "\n".join(lines).replace("'", '"'))
    skeleton = find_skeleton(motion, table)
    assert named(motion, dict(skeleton.anatomy.parts)) == parts
    assert "the names of the studio" in describe_skeleton(motion, skeleton)

    motion, _ = write(WRITERS["Mixamo of Blender"])
    table.write_text('[joints]\nneck = []\nleft_middle = ["LeftHandRing1", "mixamorig:LeftHandRing2"]')
    parts = named(motion, dict(find_skeleton(motion, table).anatomy.parts))
    assert "neck" not in parts
    assert parts["left_middle"] == ("mixamorig:LeftHandRing1", "mixamorig:LeftHandRing2")
    assert parts["left_thigh"] == ("mixamorig:LeftUpLeg",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("joints", "cannot be read"),
        ('[joints]\nx = "\\u0000"', "none of"),
        ("[bones]", r"\[joints\]"),
        ("joints = 3", r"\[joints\]"),
        ("[joints]\nleft_thigh = ['LeftUpLeg', 'LeftLeg']", "the name of one joint"),
        ("[joints]\npelvis = []", "the name of one joint"),
        ("[joints]\nhead = 3", "the name of one joint"),
        ("[joints]\nleft_leg = 'LeftUpLeg'", "part that there is none of"),
        ("[joints]\nhead = 'Kopf'", "a joint that the motion has not"),
    ],
)
def test_tables_that_say_nothing_are_named(tmp_path: Path, text: str, said: str) -> None:
    motion, _ = write(WRITERS["Mixamo"])
    table = tmp_path / "names.toml"
    table.write_text(text)
    with pytest.raises(InputError, match=said):
        find_skeleton(motion, table)
    with pytest.raises(InputError, match="cannot be read"):
        find_skeleton(motion, tmp_path / "absent.toml")


def test_hierarchies_of_nobody_take_little_time() -> None:
    """A line, a star and nested forks of as many joints as a file may have."""
    count = 2000
    for parents in (np.arange(count) - 1, np.minimum(np.arange(count) - 1, 0), (np.arange(count) - 1) // 2):
        motion = Motion(
            names=tuple(f"J{i}" for i in range(count)),
            parents=parents,
            offsets=np.tile([0.0, 1.0, 0.0], (count, 1)),
            rotations=np.tile(np.eye(3), (1, count, 1, 1)),
            root_positions=np.zeros((1, 3)),
            fps=30.0,
        )
        start = time.process_time()
        with pytest.raises(InputError):
            find_skeleton(motion)
        # 0.2 s without the checks of shapes; by all triples of a line, 1.3 billion tries.
        assert time.process_time() - start < 10
