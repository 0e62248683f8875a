"""The observe stage: what it writes, whose masks it takes, and that a killed run continues to the same bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.observe import (
    Observations,
    ObserveConfig,
    PoseNetwork,
    load_observations,
    observe,
    over_session,
)
from simulacra.recon.observe.checkpoint import FrameResult, empty_arrays
from simulacra.recon.observe.expected import ExpectedBodies
from simulacra.recon.observe.over_session import Capture
from simulacra.render.runtime.errors import RunError

from .conftest import Example

Examples = Callable[[str], list[Example]]
QUICK = ObserveConfig(looks=1, hands=False)


class Killed(Exception):
    pass


@dataclass(frozen=True)
class Moment:
    index: int


@dataclass
class Recording:
    """Images in memory as a session; may be killed after some images."""

    images: dict[str, dict[int, np.ndarray]]
    masks: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    name: str = "a"
    left: int = 1000

    @property
    def camera_names(self) -> tuple[str, ...]:
        return tuple(self.images)

    @property
    def frames(self) -> tuple[Moment, ...]:
        return tuple(Moment(i) for i in sorted(set().union(*self.images.values())))

    def has(self, frame_index: int, camera: str) -> bool:
        return frame_index in self.images[camera]

    def iter_images(self, camera: str, frame_indices: Sequence[int]) -> Iterator[np.ndarray]:
        for frame in frame_indices:
            self.left -= 1
            if self.left < 0:
                raise Killed
            yield self.images[camera][frame]

    def mask(self, frame_index: int, camera: str) -> np.ndarray | None:
        return self.masks.get((frame_index, camera))

    def fingerprint(self) -> str:
        return self.name


@pytest.fixture
def recording(networks: None, examples: Examples) -> Recording:
    """Two cameras of six and five frames, at a quarter of the pixels; camera b has no frame 12."""
    shown = [np.ascontiguousarray(example.image[::2, ::2]) for example in examples("rgbd_stage8")]
    a = {10 + i: shown[i] for i in range(6)}
    b = {10 + i: shown[8 + i] for i in range(6) if i != 2}
    return Recording({"a": a, "b": b})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_recording_is_what_observing_needs(recording: Recording) -> None:
    assert isinstance(recording, Capture)


def test_everything_is_written_and_read_back(recording: Recording, tmp_path: Path) -> None:
    config = ObserveConfig(looks=1)
    seen = observe(recording, config, tmp_path)
    assert seen.frames.tolist() == [10, 11, 12, 13, 14, 15]
    assert seen.cameras == ("a", "b")
    assert seen.pose_px.shape == (6, 2, 33, 2) and seen.pose_px.dtype == np.float32
    assert seen.face_px.shape == (6, 2, 478, 2) and seen.hand_px.shape == (6, 2, 2, 21, 2)
    absent = np.zeros((6, 2), bool)
    absent[2, 1] = True
    np.testing.assert_array_equal(np.isnan(seen.pose_px).all(axis=(2, 3)), absent)
    np.testing.assert_array_equal(seen.pose_score == 0, absent)
    np.testing.assert_array_equal(seen.face_score > 0, np.isfinite(seen.face_px).all(axis=(2, 3)))
    np.testing.assert_array_equal(seen.hand_score > 0, np.isfinite(seen.hand_px).all(axis=(3, 4)))
    assert seen.face_score.max() > 0.5 and seen.hand_score.max() > 0.5
    assert seen.mask_sources["b"] == ("pose", "pose", "none", "pose", "pose", "pose")
    assert seen.mask(12, "b") is None
    mask = seen.mask(13, "b")
    assert mask is not None
    x, y = seen.pose_px[3, 1, [11, 12, 23, 24]].mean(axis=0).round().astype(int)
    assert mask.shape == (512, 512) and mask[y, x] > 0.95 and mask[:, :20].max() < 0.05
    with pytest.raises(KeyError):
        seen.mask(99, "a")
    assert not (tmp_path / ".checkpoint").exists()


@pytest.mark.parametrize("images", [3, 8, 14, 20])
def test_a_killed_run_continues_to_the_same_bytes(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    monkeypatch.setattr(over_session, "_CHUNK_FRAMES", 2)
    recording.images["a"] |= {10 + i: recording.images["a"][10 + i % 6] for i in range(6, 8)}
    observe(recording, QUICK, tmp_path / "whole", workers=1)
    recording.left = images
    with pytest.raises(Killed):
        observe(recording, QUICK, tmp_path / "killed", workers=2)
    assert not (tmp_path / "killed" / "observations.npz").exists()
    recording.left = 1000
    observe(recording, QUICK, tmp_path / "killed", workers=2)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    if images > 8:
        # A whole run reads 39: each camera's frames for landmarks, for the background and for its masks.
        assert 1000 - recording.left <= 39 - 6, "a continued run reads again what it had read"


def test_leftovers_of_another_configuration_are_not_continued(recording: Recording, tmp_path: Path) -> None:
    recording.left = 9
    with pytest.raises(Killed):
        observe(recording, QUICK, tmp_path)
    recording.left = 1000
    config = ObserveConfig(looks=1, hands=False, face=False)
    seen = observe(recording, config, tmp_path)
    assert seen.face_score.max() == 0


def test_the_sessions_masks_come_first(recording: Recording, tmp_path: Path) -> None:
    own = np.zeros((512, 512), np.float32)
    own[100:200, 50:60] = 1.0
    recording.masks = {(11, "a"): own}
    seen = observe(recording, QUICK, tmp_path, frames=[11, 13])
    assert seen.mask_sources["a"] == ("session", "pose")
    np.testing.assert_array_equal(seen.mask(11, "a"), own)
    only = observe(recording, ObserveConfig(looks=1, hands=False, mask="pose"), tmp_path, frames=[11])
    assert only.mask_sources["a"] == ("pose",)
    assert not np.array_equal(only.mask(11, "a"), own)
    none = observe(recording, ObserveConfig(looks=1, hands=False, mask="session"), tmp_path, frames=[13])
    assert none.mask_sources["a"] == ("none",) and none.mask(13, "a") is None


def test_a_camera_without_a_person_gives_its_own_masks(recording: Recording, tmp_path: Path) -> None:
    recording.images["b"] = {frame: np.zeros_like(image) for frame, image in recording.images["b"].items()}
    own = np.zeros((512, 512), np.float32)
    own[100:400, 200:300] = 1.0
    recording.masks = {(11, "b"): own}
    seen = observe(recording, QUICK, tmp_path, frames=[10, 11])
    assert np.isnan(seen.pose_px[:, 1]).all() and np.isfinite(seen.pose_px[:, 0]).all()
    assert seen.mask_sources["b"] == ("none", "session")
    np.testing.assert_array_equal(seen.mask(11, "b"), own)


def test_whoever_is_expected_is_looked_at_and_nobody_else(recording: Recording, tmp_path: Path) -> None:
    """What is expected of camera a is its own person, of camera b somebody beside."""
    alone = observe(recording, QUICK, tmp_path / "alone", frames=[10, 11])
    px = np.stack([alone.pose_px, alone.pose_px + np.array([150.0, 0.0])]).astype(np.float32)
    px[0, :, 1] += [150.0, 0.0]  # the chosen one is not there in camera b
    people = ExpectedBodies((10, 11), ("a", "b"), px)
    seen = observe(recording, QUICK, tmp_path / "chosen", frames=[10, 11], people=people)
    # Another region gives other landmarks, by some pixels; fingers more.
    assert np.median(np.abs(seen.pose_px[:, 0] - alone.pose_px[:, 0])) < 5
    assert np.isnan(seen.pose_px[:, 1]).all() and seen.mask_sources["b"] == ("none", "none")


def test_where_the_others_see_the_person_it_is_looked_once_more(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector that misses the person in camera b; a stopped run goes on to the same landmarks."""
    alone = observe(recording, QUICK, tmp_path / "alone", frames=[10, 11])
    find, missed = PoseNetwork.find, {id(recording.images["b"][10]), id(recording.images["b"][11])}
    monkeypatch.setattr(
        PoseNetwork, "find", lambda self, image: None if id(image) in missed else find(self, image)
    )
    blind = observe(recording, QUICK, tmp_path / "blind", frames=[10, 11])
    assert np.isnan(blind.pose_px[:, 1]).all()

    def expect(found: Observations) -> ExpectedBodies:
        assert np.isnan(found.pose_px[:, 1]).all(), "what was found is expected from the first look alone"
        return ExpectedBodies((10, 11), ("a", "b"), np.asarray(alone.pose_px)[None])

    recording.left = 4
    with pytest.raises(Killed):
        observe(recording, QUICK, tmp_path / "again", frames=[10, 11], second_look=expect)
    recording.left = 1000
    seen = observe(recording, QUICK, tmp_path / "again", frames=[10, 11], second_look=expect)
    assert np.median(np.abs(seen.pose_px - alone.pose_px)) < 5
    assert seen.mask_sources["b"] == ("pose", "pose")


def test_a_damaged_record_is_an_error(recording: Recording, tmp_path: Path) -> None:
    observe(recording, QUICK, tmp_path, frames=[10])
    (tmp_path / "observations.npz").write_bytes(b"not an archive")
    with pytest.raises(RunError, match="observations"):
        load_observations(tmp_path)


def test_memory_does_not_grow_with_the_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 kB of landmarks a frame and camera: a thousand frames more would be 5 MB, held once."""
    picture = np.zeros((4, 4, 3), np.float32)

    def see(job: object, camera: str, frame: int, image: np.ndarray, people: object) -> FrameResult:
        values = {name: np.full_like(nothing, frame) for name, nothing in empty_arrays().items()}
        return FrameResult(frame, values, "session")

    monkeypatch.setattr(over_session, "_predict_frame", see)

    def peak(count: int) -> int:
        recording = Recording({"a": dict.fromkeys(range(count), picture)}, left=count)
        tracemalloc.start()
        found = observe(recording, QUICK, tmp_path / str(count))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_array_equal(found.face_px[:, 0, 5, 1], np.arange(count))
        return most

    assert peak(1200) - peak(200) < 2_000_000
