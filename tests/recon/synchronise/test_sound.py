"""Clocks by sound: planted offsets and drift, and rooms that have nothing in common."""

from pathlib import Path

import av
import numpy as np
import pytest

from simulacra.recon.synchronise.sound import RATE, Sound, clocks_by_sound, read_sound, sound_lag


def speech(seconds: float, seed: int) -> np.ndarray:
    """Bursts of noise that die away, at random moments."""
    random = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * RATE))
    start = 0
    while (start := start + int(random.exponential(0.6) * RATE)) + RATE // 8 < len(sound):
        length = RATE // 8
        decay = np.exp(-np.arange(length) / (0.03 * RATE))
        sound[start : start + length] += random.uniform(0.2, 1.0) * decay * random.standard_normal(length)
    return sound


def heard(room: np.ndarray, began: float, seconds: float, drift: float = 0.0, seed: int = 0) -> Sound:
    own = np.arange(int(seconds * RATE)) / RATE
    noise = 0.01 * np.random.default_rng(seed).standard_normal(len(own))
    return Sound(np.interp(began + (1 + drift) * own, np.arange(len(room)) / RATE, room) + noise, 0.0)


@pytest.mark.parametrize("began", [0.0, 1.0, 10.0123])
def test_a_planted_offset_within_two_milliseconds(began: float) -> None:
    room = speech(40, 1)
    found = clocks_by_sound({"a": heard(room, 0.0, 25, seed=1), "b": heard(room, began, 25, seed=2)}, 60.0)
    assert found is not None
    assert found["b"].offset - found["a"].offset == pytest.approx(began, abs=2e-3)
    assert found["a"].drift == found["b"].drift == 0.0


def test_drift_is_seen_and_taken_out() -> None:
    room = speech(70, 2)
    found = sound_lag(heard(room, 0.0, 60, seed=1), heard(room, 3.0, 60, drift=50e-6, seed=2), 60.0)
    assert found is not None
    # Own time of b is (t - 3) / (1 + drift): the lag falls by 50 millionths of the time that passes.
    assert found.drift == pytest.approx(-50e-6, abs=1e-5)
    assert found.lag == pytest.approx(-3.0, abs=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_other_rooms_say_nothing(seed: int) -> None:
    assert sound_lag(Sound(speech(20, 10 + seed), 0.0), Sound(speech(20, 20 + seed), 0.0), 60.0) is None


def test_an_offset_beyond_the_search_is_none() -> None:
    room = speech(40, 1)
    assert sound_lag(heard(room, 0.0, 25), heard(room, 10.0, 25, seed=2), 5.0) is None


def test_sound_of_a_video_is_on_its_cameras_clock(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=30)
        film.width, film.height, film.pix_fmt = 32, 32, "yuv420p"
        track = container.add_stream(
            "pcm_s16le", rate=48000, layout="mono"
        )  # a coder would add its own delay
        for _ in range(60):
            container.mux(
                film.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24"))
            )
        samples = np.zeros((1, 96000), np.int16)
        samples[0, 48000:48480] = 16000  # at 1 s
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(track.encode(frame))
        container.mux(track.encode())
        container.mux(film.encode())
    found = read_sound(path, stamp_ahead=0.25)
    assert found is not None
    # The filter to the lower rate spreads the edge over a millisecond.
    first = int(np.flatnonzero(np.abs(found.samples) > 0.2)[0])
    assert found.start + first / RATE == pytest.approx(0.75, abs=0.002)
