"""A session of ten thousand frames is checked like a short one: what is kept does not grow with its length."""

import json
import tracemalloc
from pathlib import Path

import pytest

from simulacra.recon.preflight import PreflightConfig, inspect
from simulacra.recon.preflight.reading import iter_raw
from simulacra.recon.session import load_session
from simulacra.recon.session.video import iter_video, iter_video_near
from tests.recon.ellipsoid_person import picture, ring, synthetic_session, write_video
from tests.recon.preflight.blind import Blind

SHORT, LONG = 100, 10_000


def repeated(root: Path, frames: int) -> Path:
    """The session's frames named again and again, in the order of its videos."""
    described = json.loads((root / "session.json").read_text())
    first = described["frames"]
    described["frames"] = [first[k % len(first)] | {"index": k} for k in range(frames)]
    for frame in described["frames"]:
        for source in frame["sources"].values():
            source["time"] = frame["index"] / 30
    described["frames"] = json.loads(json.dumps(described["frames"]))
    (root / "session.json").write_text(json.dumps(described))
    return root


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = {}
    for frames in (SHORT, LONG):
        made = synthetic_session(tmp_path / str(frames), cameras=2, frames=4, video=True, depth=False)
        session = load_session(repeated(made.root, frames))
        assert len(session.frames) == frames
        tracemalloc.start()
        found = inspect(session, settings=PreflightConfig(motion_frames=30), detector=Blind())
        peaks[frames] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found.samples.motion) == 30 and len(found.samples.stills) == 3
    # A hundred times the frames: names and numbers of what was read, a kilobyte a frame at most, and no pictures.
    assert peaks[LONG] - peaks[SHORT] < 1000 * (LONG - SHORT)


def test_frames_far_into_a_video_are_sought_and_are_the_right_ones(tmp_path: Path) -> None:
    camera = ring(1)[0]
    pictures = [picture(camera, frame)[0] for frame in range(140)]
    write_video(tmp_path / "v.mp4", pictures)
    wanted = [2, 3, 3, 90, 91, 135]
    near = list(iter_video_near(tmp_path / "v.mp4", wanted))
    straight = list(iter_video(tmp_path / "v.mp4", wanted))
    assert len(near) == len(wanted)
    assert all((a == b).all() for a, b in zip(near, straight))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_frames_out_of_order_come_with_their_own_numbers(tmp_path: Path, order: tuple[int, ...]) -> None:
    session = synthetic_session(tmp_path / "s", cameras=1, frames=3, video=True, depth=False)
    described = json.loads((session.root / "session.json").read_text())
    for frame, number in zip(described["frames"], order):
        frame["sources"]["0"]["number"] = number
    (session.root / "session.json").write_text(json.dumps(described))
    from simulacra.recon.preflight.reading import Problems

    problems = Problems()
    seen = dict(iter_raw(load_session(session.root), "0", range(3), problems))
    straight = list(iter_video(session.root / "videos/0.mp4", [0, 1, 2]))
    assert not problems.found and set(seen) == {0, 1, 2}
    assert all((seen[k] == straight[order[k]]).all() for k in range(3))
