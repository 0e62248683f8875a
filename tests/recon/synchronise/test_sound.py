"""Clocks by sound: planted offsets and drift, and rooms that have nothing in common."""

from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import fftconvolve

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


def clap(seconds: float, at: float, seed: int, echoes: float = 0.0) -> np.ndarray:
    """A burst of a few milliseconds in a quiet room, and its echoes there (their energy of the burst's)."""
    random = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * RATE))
    tail = random.standard_normal(int(0.4 * RATE)) * 10 ** (-3 * np.arange(int(0.4 * RATE)) / (0.4 * RATE))
    tail[: RATE // 300] = 0.0
    answer = np.r_[1.0, np.sqrt(echoes) * tail[1:] / np.linalg.norm(tail)]
    burst = np.random.default_rng(7).standard_normal(RATE // 50) * np.exp(
        -np.arange(RATE // 50) / (0.003 * RATE)
    )
    heard = np.convolve(burst, answer)
    sound[int(at * RATE) : int(at * RATE) + len(heard)] += heard / np.abs(heard).max()
    return sound + 0.01 * random.standard_normal(len(sound))


def test_one_clap_is_enough() -> None:
    """Seconds of noise about it say nothing. Each camera hears echoes of its own, half as strong as the clap."""
    a, b = clap(20, 12.5, 1, echoes=0.5), clap(20, 10.0, 2, echoes=0.5)
    found = clocks_by_sound({"a": Sound(a, 0.0), "b": Sound(0.2 * b, 0.0)}, 60.0)
    assert found is not None
    assert found["b"].offset - found["a"].offset == pytest.approx(2.5, abs=2e-3)


@pytest.mark.parametrize("seed", range(4))
def test_two_claps_are_not_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    rooms = []
    for at in (12.5, 10.0):
        room = 0.01 * random.standard_normal(20 * RATE)
        burst = random.standard_normal(RATE // 50) * np.exp(-np.arange(RATE // 50) / (0.003 * RATE))
        room[int(at * RATE) : int(at * RATE) + len(burst)] += burst
        rooms.append(Sound(room, 0.0))
    assert sound_lag(*rooms, 60.0) is None


@pytest.mark.parametrize("rates", [(48000, 48000), (44100, 48000)])
@pytest.mark.parametrize("gains", [(0.5, 0.5), (3.0, 0.02)])
def test_coded_sound_of_reverberant_rooms(
    rates: tuple[int, int], gains: tuple[float, float], tmp_path: Path
) -> None:
    """As phones write it: AAC, whose coder adds a delay of its own, at their rates; one too loud, one too quiet."""
    room, began, sounds = speech(24, 3), 1.2345, {}
    for number, (rate, gain) in enumerate(zip(rates, gains, strict=True)):
        random = np.random.default_rng(number)
        # Echoes that die away in half a second, and have the energy of what comes straight.
        tail = random.standard_normal(RATE // 2) * 10 ** (-3 * np.arange(RATE // 2) / (RATE // 2))
        tail[: RATE // 300] = 0.0
        there = fftconvolve(room, np.r_[1.0, tail[1:] / np.linalg.norm(tail)])[: len(room)]
        own = number * began + np.arange(20 * rate) / rate
        own = gain * np.interp(own, np.arange(len(there)) / RATE, there / np.abs(there).max())
        own = np.clip(own + 0.01 * min(gain, 1) * random.standard_normal(len(own)), -1, 1)
        sounds[str(number)] = read_sound(film(tmp_path / f"{number}.mp4", own, rate), 0.0)
    found = clocks_by_sound({name: sound for name, sound in sounds.items() if sound is not None}, 60.0)
    assert found is not None
    assert found["1"].offset - found["0"].offset == pytest.approx(began, abs=2e-3)


def film(path: Path, samples: np.ndarray, rate: int) -> Path:
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=30)
        film.width, film.height, film.pix_fmt = 32, 32, "yuv420p"
        track = container.add_stream("aac", rate=rate, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(film.encode(picture))
        for start in range(0, len(samples), 1024):
            block = np.ascontiguousarray(samples[None, start : start + 1024].astype(np.float32))
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(track.encode(frame))
        for stream in (track, film):
            container.mux(stream.encode(None))
    return path


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
