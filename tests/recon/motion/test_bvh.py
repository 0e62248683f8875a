"""Reading .bvh files: known answers, every order of channels, and errors that say where."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.motion import load_bvh
from simulacra.render.runtime.errors import InputError
from tests.recon.motion.planted import as_bvh, sticks

SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Knee
  {
    OFFSET 0 -4 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -3 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.025
0 0 0 0 0 0 0 0 0
10 0 0 0 0 90 0 90 0
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "motion.bvh"
    path.write_text(text)
    return path


def test_a_small_file_is_read_as_it_says(tmp_path: Path) -> None:
    motion = load_bvh(written(tmp_path, SMALL))
    assert motion.names == ("Hips", "Knee", "Knee_end") and motion.parents.tolist() == [-1, 0, 1]
    assert motion.fps == pytest.approx(40.0)
    assert np.allclose(motion.positions()[0], [[1, 2, 3], [1, -2, 3], [1, -5, 3]])
    # Second frame: moved by 10; a quarter turn about Y leaves the thigh; the knee's about X takes -Y to -Z, which the
    # root's about Y takes to -X.
    assert np.allclose(motion.positions()[1], [[11, 2, 3], [11, -2, 3], [8, -2, 3]], atol=1e-12)
    assert np.allclose(motion.rest_positions(), [[0, 0, 0], [0, -4, 0], [0, -7, 0]])


@pytest.mark.parametrize("order", ["".join(order) for order in itertools.permutations("XYZ")])
def test_every_order_of_channels(tmp_path: Path, order: str) -> None:
    planted = sticks(
        {"Hips": [0.2, -0.7, 0.4], "LeftArm": [-0.5, 0.3, 0.9], "RightLeg": [1.1, 0, 0]},
        frames=2,
        shift=(1, 0, 2),
    )
    motion = load_bvh(written(tmp_path, as_bvh(planted, order)))
    places = dict(zip(motion.names, motion.positions().swapaxes(0, 1), strict=True))
    for name, expected in zip(planted.names, planted.positions().swapaxes(0, 1), strict=True):
        assert np.allclose(places[name], expected, atol=1e-6)


def test_resampling_keeps_frames_and_goes_between_them() -> None:
    motion = sticks(frames=3, shift=(1.0, 0.0, 0.0))
    knee = motion.names.index("LeftLeg")
    for frame, angle in enumerate((0.0, 0.8, 1.6)):
        motion.rotations[frame, knee, 1:, 1:] = [
            [np.cos(angle), -np.sin(angle)],
            [np.sin(angle), np.cos(angle)],
        ]
    twice = motion.resampled(60.0)
    assert len(twice) == 5 and twice.fps == 60.0
    assert np.allclose(twice.rotations[::2], motion.rotations) and np.allclose(
        twice.root_positions[:, 0], [0, 0.5, 1, 1.5, 2]
    )
    angles = np.arctan2(twice.rotations[:, knee, 2, 1], twice.rotations[:, knee, 1, 1])
    assert np.allclose(angles, [0, 0.4, 0.8, 1.2, 1.6])
    assert np.allclose(motion.resampled(15.0).root_positions[:, 0], [0, 2])
    with pytest.raises(InputError, match="rate"):
        motion.resampled(0.0)


@pytest.mark.parametrize(
    ("wrong", "right", "where"),
    [
        ("HIERARCHY", "HIERARCHI", "line 1"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 -4", "line 9"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 nan 0", "line 8"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 four 0", "line 8"),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", "line 9"),
        ("CHANNELS 3 Zrotation", "CHANNELS 4 Zrotation", "line 10"),
        ("JOINT Knee", "JOINT Hips", "line 6"),
        ("MOTION\n", "", "line 16"),
        ("Frames: 2", "Frames: 0", "line 17"),
        ("Frames: 2", "Frames: 3", "3 lines"),
        ("Frame Time: 0.025", "Frame Time: 0", "line 18"),
        ("10 0 0 0 0 90 0 90 0", "10 0 0 0 0 90 0 90", "line 20"),
        ("10 0 0 0 0 90 0 90 0", "10 0 0 0 0 90 0 inf 0", "line 20"),
        ("10 0 0 0 0 90 0 90 0", "10 0 0 0 0 90 0 x 0", "line 20"),
        (SMALL[SMALL.index("  JOINT") :], "", "end of the file"),
        (SMALL, "", "line 1"),
    ],
)
def test_malformed_files_say_where(tmp_path: Path, wrong: str, right: str, where: str) -> None:
    assert wrong in SMALL
    with pytest.raises(InputError) as caught:
        load_bvh(written(tmp_path, SMALL.replace(wrong, right, 1)))
    assert where in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_bvh(tmp_path / "absent.bvh")
    (tmp_path / "binary.bvh").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="cannot be read"):
        load_bvh(tmp_path / "binary.bvh")
