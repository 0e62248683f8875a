"""Reading .bvh files: known answers, every order of channels, and errors that say where."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
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
    # A frame time is written with few digits: the last frame is not lost by it.
    assert len(replace(sticks(frames=12), fps=1 / 0.0333333).resampled(30.0)) == 12
    for fps, slow in ((0.0, motion), (1e9, motion), (1e300, motion), (1e6, replace(motion, fps=1 / 60))):
        with pytest.raises(InputError, match="rate"):
            slow.resampled(fps)


@pytest.mark.parametrize(
    ("wrong", "right", "where"),
    [
        ("HIERARCHY", "HIERARCHI", "line 1"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 -4", "line 9"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 nan 0", "line 8"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 four 0", "line 8"),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", "line 9"),
        ("CHANNELS 3 Zrotation", "CHANNELS 4 Zrotation", "line 10"),
        ("CHANNELS 3 Zrotation", "CHANNELS 1e30 Zrotation", "line 9"),
        ("CHANNELS 3 Zrotation", "CHANNELS 2.5 Zrotation", "line 9"),
        ("CHANNELS 3 Zrotation", "CHANNELS -1 Zrotation", "line 9"),
        ("CHANNELS 3 Zrotation Xrotation", "CHANNELS 3 Zrotation Zrotation", "each channel once"),
        ("Yrotation\n    End", "Yrotation CHANNELS 1 Xrotation\n    End", "a second list"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 1e10 0", "line 8"),
        ("  OFFSET 0 -4 0", f"  OFFSET 0 {'9' * 5000} 0", "line 8"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 1_000 0", "line 8"),
        ("  OFFSET 0 -4 0", "  OFFSET 0 \uff14 0", "line 8"),
        ("JOINT Knee", f"JOINT {'K' * 4096}", "256 characters"),
        ("Frames: 2", "Frames: 1e30", "line 17"),
        ("Frames: 2", "Frames: 200000000", "1 to 18 frames of 3 joints in 323 bytes"),
        ("Frames: 2", "Frames: nan", "line 17"),
        ("Frames: 2", "Frames: -3", "line 17"),
        ("Frame Time: 0.025", "Frame Time: -1", "line 18"),
        ("Frame Time: 0.025", "Frame Time: nan", "line 18"),
        ("Frame Time: 0.025", "Frame Time: 1e-320", "line 18"),
        ("Frame Time: 0.025", "Frame Time: 1e6", "line 18"),
        ("Frame Time: 0.025", "Frame Time: 30", "neither frames a second nor milliseconds"),
        ("Frame Time: 0.025", "Frame Time: 33.333", "neither frames a second nor milliseconds"),
        ("10 0 0 0 0 90 0 90 0", "10 0 0 0 0 1,234.5 0 90 0", "line 20"),
        ("10 0 0 0 0 90 0 90 0", "10 0 0 0 0 90 0 1e300 0", "line 20"),
        ("10 0 0 0 0 90 0 90 0", "10 0 0 0 0 90 0 1_0 0", "line 20"),
        ("  OFFSET 0 -4 0\n", "", "OFFSET of Knee"),
        ("  OFFSET 0 -4 0\n", "  OFFSET 0 -4 0\n  OFFSET 0 -4 0\n", "a second one"),
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
    assert max(map(len, str(caught.value).splitlines())) < 300, "what is wrong is shown in part"


@pytest.mark.parametrize(
    ("as_written", "as_others_write"),
    [
        ("Frames: 2", "Frames:2"),
        ("Frames: 2", "FRAMES : 2"),
        ("Frames: 2", "Frames 2"),
        ("Frame Time: 0.025", "Frame Time:0.025"),
        ("Frame Time: 0.025", "FrameTime: 0,025"),
        ("End Site", "End site"),
        ("End Site", "END SITE"),
        ("End Site", "End Site LeftToe"),
        ("End Site\n    {", "End Site {"),
        ("HIERARCHY\nROOT", "Hierarchy\nRoot"),
        ("Xposition Yposition Zposition Zrotation", "xposition yposition ZPosition ZROTATION"),
        ("OFFSET 0 -4 0", "OFFSET 0.0, -4.0, 0.0"),
        ("OFFSET 0 -4 0", "OFFSET 0 -4 0 90 0 1e-5"),
        ("    OFFSET 0 -3 0", "    OFFSET 0 -3 0\n    CHANNELS 0"),
        (
            "OFFSET 0 -4 0\n    CHANNELS 3 Zrotation Xrotation Yrotation",
            "CHANNELS 3 Zrotation Xrotation Yrotation\n    OFFSET 0 -4 0",
        ),
        ("0 0 0 0 0 0 0 0 0\n10", "0 0 0 0 0\n0 0 0 0\n10"),
        ("0 0 0 0 0 0 0 0 0\n10", "0 0 0 0 0 0 0 0 0 10"),
        ("10 0 0 0 0 90 0 90 0\n", "10 0 0 0 0 90 0 90 0\n\n  \n\x1a"),
        ("10 0 0 0 0 90 0 90 0\n", "10,0 0 0 0 0 9,0e1 0 90 0"),
        ("\n", "\r\n"),
    ],
)
def test_what_other_writers_write_means_the_same(
    tmp_path: Path, as_written: str, as_others_write: str
) -> None:
    assert as_written in SMALL
    expected = load_bvh(written(tmp_path, SMALL))
    path = tmp_path / "others.bvh"
    path.write_bytes(SMALL.replace(as_written, as_others_write).encode())
    found = load_bvh(path)
    assert found.names == expected.names and found.fps == pytest.approx(expected.fps)
    assert np.allclose(found.positions(), expected.positions())
    assert np.allclose(found.rotations, expected.rotations)


def test_texts_of_other_encodings_and_names_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "motion.bvh"
    for name, content in {
        "Bip01 L Thigh": SMALL.replace("Knee", "Bip01 L Thigh").encode(),
        "左ひざ": SMALL.replace("Knee", "左ひざ").encode("utf-16"),
        "Knie\\xe9": SMALL.replace("Knee", "Knieé").encode("latin-1"),
        "Hips#1": SMALL.replace("Knee", "Hips").encode("utf-8-sig"),
    }.items():
        path.write_bytes(content)
        assert load_bvh(path).names[1] == name
    two = "JOINT Heel { OFFSET 0 0 -1 End Site { OFFSET 0 0 -1 } } "
    motion = load_bvh(
        written(tmp_path, SMALL.replace("End Site", two + "End Site { OFFSET 1 0 0 } End Site"))
    )
    assert motion.names == ("Hips", "Knee", "Heel", "Heel_end", "Knee_end", "Knee_end#5")


def test_a_single_frame_may_have_any_time(tmp_path: Path) -> None:
    one = SMALL.replace("Frames: 2", "Frames: 1").replace("10 0 0 0 0 90 0 90 0\n", "")
    for time in ("0", "0.0333", "33", "1e9"):
        motion = load_bvh(written(tmp_path, one.replace("0.025", time)))
        assert len(motion) == 1 and 0 < motion.fps < 1e4


SIX = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


@pytest.mark.parametrize(
    ("offset", "rows", "knee"),
    [
        ("0 -4 0", ("0 -4 0", "0 -4 0"), (-4, -4)),  # the offset again
        ("0 -4 0", ("0 0 0", "0 0 0"), (-4, -4)),  # nothing on top of it
        ("0 0 0", ("0 -4 0", "0 -4 0"), (-4, -4)),  # instead of it
        ("0 -4 0", ("0 -5 0", "0 -5 0"), (-5, -5)),
        ("0 -4 0", ("0 -4 0", "0 -6 0"), (-4, -6)),  # it moves
        ("0 -4 0", ("0 0 0", "0 1 0"), (-4, -3)),
    ],
)
def test_positions_of_joints_stand_for_their_offsets_or_are_added(
    tmp_path: Path, offset: str, rows: tuple[str, str], knee: tuple[float, float]
) -> None:
    text = SMALL.replace(
        "OFFSET 0 -4 0\n    CHANNELS 3 Zrotation Xrotation Yrotation", f"OFFSET {offset}\n    {SIX}"
    )
    text = text[: text.index("0 0 0 0 0 0 0 0 0")] + "".join(f"0 0 0 0 0 0 {row} 0 0 0\n" for row in rows)
    motion = load_bvh(written(tmp_path, text))
    assert np.allclose(motion.positions()[:, 1, 1] - 2, knee)
    halfway = motion.resampled(80.0).positions()
    assert halfway[1, 1, 1] - 2 == pytest.approx(sum(knee) / 2)


def nested(joints: int, deep: bool) -> str:
    """A file of so many joints, each in the one before or all in the root."""
    inner = ("JOINT J{0} {{ OFFSET 0 1 0\n" if deep else "JOINT J{0} {{ OFFSET 0 1 0 }}\n").format
    body = "".join(inner(k) for k in range(joints - 1)) + ("}\n" * (joints - 1) if deep else "")
    head = f"HIERARCHY ROOT R {{ OFFSET 0 0 0 CHANNELS 1 Xrotation\n{body}}}\n"
    return f"{head}MOTION Frames: 1 Frame Time: 1\n0\n"


# What is said of large files is tried without the checks of shapes, which cost a multiple of the reading.
LARGE = """
import resource, sys, time
from pathlib import Path
import scipy.spatial.transform
from simulacra.recon.motion import bvh
from simulacra.render.runtime.errors import InputError

used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)
for path in map(Path, sys.argv[2:]):
    bvh.MOST_JOINTS = int(sys.argv[1])
    start = time.process_time()
    try:
        motion = bvh.load_bvh(path)
        said = motion.positions()[0, -1, 1]
    except InputError as error:
        said = error.expected
    print(f"{path.stem}|{time.process_time() - start}|{said}")
"""


def read_large(folder: Path, most_joints: int, texts: dict[str, str]) -> dict[str, tuple[float, str]]:
    """Seconds, and the last joint's height or what was expected instead; with 200 MB for all of it."""
    paths = [written(folder, text).rename(folder / f"{name}.bvh") for name, text in texts.items()]
    command = [sys.executable, "-c", LARGE, str(most_joints), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = (line.split("|", 2) for line in done.stdout.splitlines())
    return {name: (float(seconds), said) for name, seconds, said in rows}


def test_large_files_take_time_and_memory_by_their_size(tmp_path: Path) -> None:
    """By comparing each name with all before it, 16 times the joints took 200 times as long; levels were calls."""
    texts = {
        "few": nested(1000, deep=False),
        "many": nested(16_000, deep=False),
        "deep": nested(16_000, deep=True),
        "row": SMALL + "0 " * 20_000_000,
        "frames": SMALL.replace("Frames: 2", "Frames: 1100000") + " " * 20_000_000,
        "name": SMALL.replace("Knee", "K" * 20_000_000, 1),
        "digits": SMALL.replace("OFFSET 0 -4 0", "OFFSET 0 -4 " + "0" * 20_000_000),
    }
    found = read_large(tmp_path, 100_000, texts)
    assert found["many"][0] < 60 * found["few"][0]
    assert {name: said for name, (_, said) in found.items()} == {
        "few": "1.0",
        "many": "1.0",
        "deep": "15999.0",
        "row": "2 lines of 9 numbers, one for each channel, after line 18",
        "frames": "1100000 lines of 9 numbers, one for each channel, after line 18",
        "name": "a joint's name of at most 256 characters",
        "digits": "-5.0",
    }


def test_as_many_joints_as_there_may_be_and_one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulacra.recon.motion.bvh.MOST_JOINTS", 20)
    for deep in (False, True):
        assert len(load_bvh(written(tmp_path, nested(20, deep))).names) == 20
        with pytest.raises(InputError, match="at most 20 joints"):
            load_bvh(written(tmp_path, nested(21, deep)))


def test_files_beyond_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulacra.recon.motion.bvh.MOST_BYTES", len(SMALL) - 1)
    with pytest.raises(InputError, match="too large"):
        load_bvh(written(tmp_path, SMALL))


def test_more_turns_than_fit_are_refused_before_there_is_room_for_them(tmp_path: Path) -> None:
    """Frames of one number each, but of many joints."""
    text = nested(50, deep=False).replace("Frames: 1 ", "Frames: 300000 ") + "0\n" * 299_999
    with pytest.raises(InputError, match="1 to 200000 frames of 50 joints"):
        load_bvh(written(tmp_path, text))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_bvh(tmp_path / "absent.bvh")
    for special in (tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError, match="cannot be read"):
            load_bvh(special)
    (tmp_path / "binary.bvh").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="cannot be read"):
        load_bvh(tmp_path / "binary.bvh")
