"""The split of views: what is scored was not seen, and what was seen says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulacra.recon.evaluate.protocol import View, choose_other, lock_protocol, spread
from simulacra.render.runtime.errors import CaptureError, ConfigError

CAMERAS = ("0", "1", "2", "3")


def test_held_out_cameras_are_scored_in_every_frame() -> None:
    protocol = lock_protocol(CAMERAS, (0, 1, 2), held_out_cameras=("3",))
    assert protocol.evaluated == tuple(View("3", f) for f in (0, 1, 2))
    assert protocol.training_cameras == ("0", "1", "2")
    assert protocol.training_frames == (0, 1, 2)
    described = protocol.as_json()
    assert described["name"] == "held-out cameras"
    assert described["locked"] is True
    assert described["seen_in_training"] is False
    assert described["pose_fitted_on_evaluated_views"] is False


def test_every_tenth_frame_is_scored_in_all_cameras_and_says_that_its_pose_was_fitted() -> None:
    protocol = lock_protocol(CAMERAS, range(100), held_out_every=10)
    assert protocol.held_out_frames == tuple(range(9, 100, 10))
    assert len(protocol.evaluated) == 40
    assert len(protocol.training_frames) == 90
    assert not any(protocol.seen(view) for view in protocol.evaluated)
    assert protocol.as_json()["pose_fitted_on_evaluated_views"] is True
    assert "pose was fitted" in protocol.statement


def test_kinds_have_names_and_versions_and_seen_views_are_of_none() -> None:
    assert lock_protocol(CAMERAS, (0, 1), held_out_cameras=("3",)).kinds == ("held-out-view@1",)
    frames = lock_protocol(CAMERAS, range(20), held_out_every=10)
    assert frames.kinds == ("held-out-frame@1",)
    both = lock_protocol(CAMERAS, range(20), held_out_cameras=("3",), held_out_every=10)
    assert both.kinds == ("held-out-view@1", "held-out-frame@1")
    assert lock_protocol(CAMERAS, (0, 1)).kinds == ()
    assert len({each.digest for each in (frames, both, lock_protocol(CAMERAS, range(21), (), 10))}) == 3
    assert frames.digest == lock_protocol(CAMERAS, range(20), held_out_every=10).digest


def test_with_cameras_and_frames_a_held_out_camera_is_scored_at_held_out_frames_only() -> None:
    protocol = lock_protocol(CAMERAS, range(10), held_out_cameras=("1",), held_out_every=5)
    assert set(protocol.evaluated) == {View(camera, frame) for camera in CAMERAS for frame in (4, 9)}


@given(
    frames=st.integers(1, 40),
    every=st.integers(0, 12),
    held_out=st.sets(st.sampled_from(CAMERAS), max_size=3),
)
def test_nothing_scored_was_trained_on(frames: int, every: int, held_out: set[str]) -> None:
    if every == 1:
        with pytest.raises(CaptureError):
            lock_protocol(CAMERAS, range(frames), sorted(held_out), every)
        return
    protocol = lock_protocol(CAMERAS, range(frames), sorted(held_out), every)
    trained = {View(c, f) for c in protocol.training_cameras for f in protocol.training_frames}
    assert trained
    if held_out or protocol.held_out_frames:
        assert not trained & set(protocol.evaluated)
        assert not any(protocol.seen(view) for view in protocol.evaluated)
    else:
        assert set(protocol.evaluated) <= trained
        assert protocol.as_json()["seen_in_training"] is True


def test_nothing_held_out_is_scored_on_a_few_seen_views_and_flagged() -> None:
    protocol = lock_protocol(CAMERAS, range(100))
    assert len(protocol.evaluated) == 16
    assert protocol.name == "views seen in training"
    assert "remembers" in protocol.statement


def test_unknown_camera_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="cam9") as error:
        lock_protocol(CAMERAS, (0,), held_out_cameras=("cam9",))
    assert "0, 1, 2, 3" in str(error.value)


def test_holding_everything_out_is_refused() -> None:
    with pytest.raises(CaptureError, match="nothing is left to train on"):
        lock_protocol(CAMERAS, (0,), held_out_cameras=CAMERAS)


def test_other_cameras_afterwards_are_flagged_and_the_same_ones_change_nothing() -> None:
    protocol = lock_protocol(CAMERAS, (0, 1), held_out_cameras=("1", "3"))
    assert choose_other(protocol, ("3", "1")) == protocol
    other = choose_other(protocol, ("0", "3"))
    assert other.as_json()["locked"] is False
    assert other.as_json()["seen_in_training"] is True
    assert other.name == "views seen in training"
    assert [other.seen(view) for view in other.evaluated] == [True, True, False, False]
    fewer = choose_other(protocol, ("3",))
    assert fewer.as_json()["seen_in_training"] is False
    assert fewer.as_json()["locked"] is False
    with pytest.raises(ConfigError, match="7"):
        choose_other(protocol, ("7",))


def test_spread_keeps_both_ends() -> None:
    items = [View("a", f) for f in range(10)]
    assert spread(items, 3) == [items[0], items[4], items[9]]
    assert spread(items, 20) == items
    assert spread(items, 1) == items[:1]
    assert spread(items, 0) == []


def test_views_that_a_camera_did_not_record_are_not_scored() -> None:
    def has(frame: int, camera: str) -> bool:
        return (frame, camera) != (4, "2")

    protocol = lock_protocol(CAMERAS, range(10), held_out_every=5, has=has)
    assert View("2", 4) not in protocol.evaluated
    assert View("2", 9) in protocol.evaluated
    assert choose_other(protocol, ("2",), has).evaluated == (View("2", 9),)
