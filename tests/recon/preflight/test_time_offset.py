"""How offsets are found and said: which way, and what is beyond the search without a number of its own."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulacra.recon.preflight import free_running
from simulacra.recon.preflight.free_running import look_longer, say_offsets
from simulacra.recon.preflight.reading import Problems
from simulacra.recon.session import Frame, Session, SessionCamera, Source, describe_session, load_session
from tests.recon.planted_person import ring_of_cameras
from tests.recon.synchronise.test_clocks import FPS, Clairvoyant


def test_a_camera_that_began_later_is_said_to_have() -> None:
    check = say_offsets({"a": 0.0, "b": -30.2, "c": 0.4}, "right to a frame", ())
    assert (check.status, check.where, check.measured) == ("warn", "b", -30.2)
    assert check.evidence == "b began 30.2 frames later; right to a frame"
    assert "simulacra synchronise SESSION --out NEW" in check.remedy


def test_the_end_of_the_search_is_no_answer() -> None:
    check = say_offsets({"a": 0.0, "b": 0.1}, "", ("c",))
    assert (check.status, check.where, check.unit) == ("warn", "c", "frames and more, either way")
    assert "c: no lag within 8 frames explains it" in check.evidence


def test_cameras_in_time_pass() -> None:
    check = say_offsets({"a": 0.0, "b": 0.31}, "standard errors: a 0.1, b 0.1 frames", ())
    assert (check.status, check.where, check.measured) == ("pass", "b", 0.31)


def started_apart(root: Path, began: tuple[int, ...], frames: int) -> Session:
    """Pictures whose one pixel says when and where they were taken; frame k is the k-th picture of each camera."""
    viewmats, Ks = ring_of_cameras(len(began))
    names = "abcdef"[: len(began)]
    for camera, name in enumerate(names):
        (root / "images" / name).mkdir(parents=True)
        for k in range(frames):
            ticks = round(1000 * (k + began[camera]) / FPS)
            pixel = np.array([[[ticks % 256, ticks // 256, camera]]], np.uint8)  # blue first
            cv2.imwrite(str(root / "images" / name / f"{k:06d}.png"), pixel)
    cameras = [SessionCamera(n, 1000, 1000, K, V) for n, K, V in zip(names, Ks, viewmats, strict=True)]
    made = [
        Frame(k, {name: Source(f"images/{name}/{k:06d}.png", None, k / FPS) for name in names})
        for k in range(frames)
    ]
    (root / "session.json").write_text(describe_session(cameras, made, notes=[], about={}))
    return load_session(root)


@pytest.fixture(autouse=True)
def pictures_of_one_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cameras' pictures have a million, whose reading is not what is asked for here."""

    def read(
        session: Session, camera: str, frames: Sequence[int], problems: Problems
    ) -> Iterator[tuple[int, np.ndarray]]:
        for frame in frames:
            path = session.path(session.frame(frame).sources[camera].file)
            yield frame, cv2.imread(str(path))[..., ::-1]

    monkeypatch.setattr(free_running, "iter_raw", read)


@pytest.mark.parametrize(("late", "frames"), [(30, 150), (-30, 150), (300, 900)])
def test_a_longer_look_finds_what_consecutive_frames_have_nothing_in_common_for(
    late: int, frames: int, tmp_path: Path
) -> None:
    began = (0, late, 0) if late > 0 else (-late, 0, -late)
    check = look_longer(
        started_apart(tmp_path / "session", began, frames), Clairvoyant(3, ticks=1000), Problems()
    )
    assert check is not None and (check.status, check.where) == ("warn", "b")
    # Every frame of a short recording is looked at, and every third of a long one: right to a frame then.
    assert check.measured == pytest.approx(-late, abs=0.2 if frames == 150 else 1.0)
    assert ("to a part of a frame" in check.evidence) == (frames == 150)
    assert re.search(rf"b began [\d.]+ frames {'later' if late > 0 else 'earlier'}", check.evidence)


def test_control_a_longer_look_at_cameras_in_time_says_nothing(tmp_path: Path) -> None:
    session = started_apart(tmp_path / "session", (0, 0, 0), 150)
    assert look_longer(session, Clairvoyant(3, ticks=1000), Problems()) is None
