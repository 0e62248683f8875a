"""Offsets and drift of clocks by what cameras heard: onsets for where to look, the phase transform for how exactly.

Two recordings of one room rise in loudness at the same moments. Their onsets (rises of the logarithm of the energy in
bands, 200 a second) are correlated over all lags, which drift and echoes hardly harm. About the best lag, short pieces
are compared by the generalised cross-correlation with phase transform (Knapp and Carter 1976), which is sharp to a part
of a sample; over the pieces, lags are a line: offset and drift.

Sound takes 3 ms for a metre: a camera that is further from its source hears it later than it sees it, and where the
source is nobody knows. The error of an offset by sound has that in it.

Symbols: ``s`` samples, ``u`` onsets, ``e`` bands.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len, rfft

from simulacra.recon.session.frame_table import video_stream
from simulacra.recon.synchronise.record import CameraClock

RATE = 16000
ONSETS = 200
BANDS_HZ = (100.0, 400.0, 1000.0, 2500.0, 7000.0)
# The best lag of onsets over the standard deviation of all: of recordings with nothing in common 4 to 5.5.
CLEAR = 8.0
# Pieces: how many at most, their seconds, how far from the onsets' lag they are looked for, and how clear a peak is.
PIECES, PIECE_SECONDS, REACH_SECONDS, PIECE_CLEAR = 16, 3.0, 0.05, 7.0
# Where no piece is clear: the loudest moments that both heard, how many, their seconds, and how much of them is alike:
# of one clap in a living room 0.6, in a hall 0.4 and less, of two claps that have nothing in common 0.36 at most of 40.
CLAPS, CLAP_SECONDS, CLAP_ALIKE = 3, 0.1, 0.45
# Both must have heard so much together: seconds, or a share of the shorter one.
OVERLAP_SECONDS, OVERLAP_SHARE = 5.0, 0.5
# Lags of pieces further from their line are echoes or noise, seconds.
TRUE_PIECE = 1.5e-3
# Seconds to which a lag is known at least, and a drift that is seen.
LEAST_ERROR, LEAST_DRIFT = 2e-4, 5e-6
# Of a recording no more is listened to, seconds.
LONGEST = 1200.0
# A source may be so much further from one camera than from another, seconds of sound: a metre.
TRAVEL_ERROR = 1.0 / 343.0


@dataclass(frozen=True)
class Sound:
    """What one camera heard: one channel, `RATE` samples a second.

    Attributes:
        samples: -1..1.
        start: of the first, by the camera's own clock, seconds.
    """

    samples: Float[np.ndarray, " s"]
    start: float


@dataclass(frozen=True)
class SoundLag:
    """How the clock of a second camera runs against that of a first.

    Attributes:
        lag: own time of the second minus own time of the first for one sound, at own time 0 of the first, seconds.
        drift: growth of the lag in a second.
        error: standard error of the lag in the middle of what both heard.
        clearness: of the onsets' best lag.
    """

    lag: float
    drift: float
    error: float
    clearness: float


def read_sound(path: Path, stamp_ahead: float) -> Sound | None:
    """The sound of a video; None where it has none, or it cannot be read.

    Args:
        stamp_ahead: how much later the file's stamps are than the camera's clock, seconds.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio or video_stream(container) is None:
                return None
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
            pieces, start, heard = [], None, 0
            for frame in container.decode(container.streams.audio[0]):
                if start is None:
                    start = float(frame.time or 0.0)
                for part in resampler.resample(frame):
                    pieces.append(part.to_ndarray()[0])
                    heard += len(pieces[-1])
                if heard > LONGEST * RATE:
                    break
    except av.FFmpegError:
        return None
    if start is None or heard < RATE:
        return None
    return Sound(np.concatenate(pieces).astype(np.float64), start - stamp_ahead)


def clocks_by_sound(sounds: Mapping[str, Sound], largest: float) -> dict[str, CameraClock] | None:
    """Clocks against that of the camera whose sound is clearest in the others; None where one hears nothing of it.

    Args:
        sounds: of all cameras.
        largest: difference of two cameras that is looked for, seconds.
    """
    names = list(sounds)
    lags = {
        (a, b): found
        for a in names
        for b in names
        if a != b and (found := sound_lag(sounds[a], sounds[b], largest)) is not None
    }
    reaching = [a for a in names if all((a, b) in lags for b in names if b != a)]
    if not reaching:
        return None
    middle = max(reaching, key=lambda a: min(lags[a, b].clearness for b in names if b != a))
    clocks = {middle: CameraClock(0.0, TRAVEL_ERROR, 0.0, "sound")}
    for name in names:
        if name != middle:
            found = lags[middle, name]
            drift = -found.drift / (1 + found.drift)
            error = float(np.hypot(found.error, TRAVEL_ERROR))
            clocks[name] = CameraClock(-(1 + drift) * found.lag, error, drift, "sound")
    return {name: clocks[name] for name in names}


def sound_lag(a: Sound, b: Sound, largest: float) -> SoundLag | None:
    """How b's clock runs against a's; None where the two do not clearly hear the same.

    Args:
        largest: lag that is looked for, seconds.
    """
    onsets = _onsets(a.samples), _onsets(b.samples)
    found = _onset_lag(*onsets, largest, b.start - a.start)
    if found is None:
        return None
    lag, clearness = found
    times, lags = _piece_lags(a, b, lag, *_even_pieces(a, b, lag))
    if len(times) < 1:
        # A clap in a quiet room is drowned in seconds of noise: what both heard loudest, alone.
        loudest = _loudest(*onsets, lag + a.start - b.start)
        times, lags = _piece_lags(a, b, lag, loudest, CLAP_SECONDS, CLAP_ALIKE)
    if len(times) < 1:
        return None
    middle, drift, level = float(times.mean()), 0.0, float(np.median(lags))
    if len(times) > 3:
        pairs = [(i, j) for i in range(len(times)) for j in range(i) if times[i] - times[j] > PIECE_SECONDS]
        if pairs:
            drift = float(np.median([(lags[i] - lags[j]) / (times[i] - times[j]) for i, j in pairs]))
            level = float(np.median(lags - drift * (times - middle)))
    left = lags - level - drift * (times - middle)
    good = np.abs(left) < TRUE_PIECE
    if good.sum() < max(1, len(times) // 3):
        return None
    if good.sum() > 3:
        drift, level = (float(value) for value in np.polyfit(times[good] - middle, lags[good], 1))
    drift = drift if abs(drift) > LEAST_DRIFT else 0.0
    error = max(LEAST_ERROR, float(np.std(left[good])) / np.sqrt(good.sum()))
    return SoundLag(level - drift * middle, drift, error, clearness)


def _onsets(samples: Float[np.ndarray, " s"]) -> Float[np.ndarray, "u e"]:
    """Rises of the logarithm of the energy in bands, of unit variance each."""
    hop = RATE // ONSETS
    count = len(samples) // hop - 1
    frames = np.lib.stride_tricks.sliding_window_view(samples, 2 * hop)[: count * hop : hop]
    power = np.abs(rfft(frames * np.hanning(2 * hop), axis=1)) ** 2
    hertz = np.arange(power.shape[1]) * RATE / (2 * hop)
    bands = [power[:, (hertz >= low) & (hertz < high)].sum(1) for low, high in itertools.pairwise(BANDS_HZ)]
    loud = np.stack(bands, 1)
    rises = np.maximum(np.diff(np.log(loud + 1e-3 * loud.mean(0) + 1e-12), axis=0, prepend=0.0), 0.0)
    rises[0] = 0.0
    rises -= rises.mean(0)
    return rises / np.maximum(rises.std(0), 1e-9)


def _onset_lag(
    a: Float[np.ndarray, "t e"], b: Float[np.ndarray, "u e"], largest: float, apart: float
) -> tuple[float, float] | None:
    """The best lag, seconds, and how clear it is; an end of the search is none.

    Args:
        apart: own time at which b's samples start minus that of a's.
    """
    size = next_fast_len(len(a) + len(b), real=True)
    shared = irfft((np.conj(rfft(a, size, axis=0)) * rfft(b, size, axis=0)).sum(1), size)
    shifts = np.arange(-len(a) + 1, len(b))
    overlap = np.minimum(len(a), len(b) - shifts) - np.maximum(0, -shifts)
    lags = shifts / ONSETS + apart
    scores = shared[shifts % size] / np.sqrt(np.maximum(overlap, 1) * a.shape[1])
    least = min(OVERLAP_SECONDS * ONSETS, OVERLAP_SHARE * min(len(a), len(b)))
    kept = (overlap >= least) & (np.abs(lags) <= largest)
    if kept.sum() < 3:
        return None
    lags, scores = lags[kept], scores[kept]
    best = int(scores.argmax())
    spread = 1.4826 * float(np.median(np.abs(scores - np.median(scores)))) + 1e-9
    clearness = float((scores[best] - np.median(scores)) / spread)
    if best in (0, len(scores) - 1) or clearness < CLEAR:
        return None
    return float(lags[best]), clearness


def _even_pieces(a: Sound, b: Sound, lag: float) -> tuple[Float[np.ndarray, " p"], float]:
    """Where pieces of what both heard begin, seconds after a's first sample, and how long they are."""
    shift = lag + a.start - b.start  # of a's place in b
    first = max(0.0, -shift)
    last = min(len(a.samples) / RATE, len(b.samples) / RATE - shift)
    length = min(PIECE_SECONDS, last - first)
    if length < 0.25:
        return np.zeros(0), length
    count = int(np.clip((last - first) // length, 1, PIECES))
    return np.linspace(first, last - length, count), length


def _loudest(
    a: Float[np.ndarray, "t e"], b: Float[np.ndarray, "u e"], shift: float
) -> Float[np.ndarray, " p"]:
    """Where pieces about the strongest onsets that both heard begin, seconds after a's first sample."""
    step = round(shift * ONSETS)
    first, last = max(0, -step), min(len(a), len(b) - step)
    both = np.minimum(a[first:last], b[first + step : last + step]).sum(1)
    chosen: list[int] = []
    for place in np.argsort(-both):
        if len(chosen) == CLAPS:
            break
        if all(abs(place - other) > CLAP_SECONDS * ONSETS for other in chosen):
            chosen.append(int(place))
    return np.maximum((first + np.sort(np.array(chosen, dtype=int))) / ONSETS - CLAP_SECONDS / 2, 0.0)


def _piece_lags(
    a: Sound, b: Sound, lag: float, starts: Float[np.ndarray, " q"], length: float, alike: float = 0.0
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Own times of a, and the lag of b at each, of those pieces that are loud and clear."""
    shift = lag + a.start - b.start
    times, lags = [], []
    for start in starts:
        size = int(length * RATE)
        own, other = int(start * RATE), round((start + shift) * RATE)
        other = min(max(other, 0), len(b.samples) - size)
        if own + size > len(a.samples) or other < 0:
            continue
        found = phase_lag(a.samples[own : own + size], b.samples[other : other + size], alike)
        if found is not None:
            times.append(a.start + start + length / 2)
            lags.append(found + (other - own) / RATE + b.start - a.start)
    return np.array(times), np.array(lags)


def phase_lag(a: Float[np.ndarray, " s"], b: Float[np.ndarray, " s"], alike: float = 0.0) -> float | None:
    """How much later b has what a has, seconds, within `REACH_SECONDS`; None without a clear peak.

    Args:
        alike: how high the peak must be, of what it is if b is a but for the lag.
    """
    size = next_fast_len(2 * len(a), real=True)
    window = np.hanning(len(a))
    cross = np.conj(rfft(a * window, size)) * rfft(b * window, size)
    hertz = np.arange(len(cross)) * RATE / size
    used = (hertz > BANDS_HZ[0]) & (hertz < BANDS_HZ[-1])
    whitened = np.where(used, cross / np.maximum(np.abs(cross), 1e-15), 0.0)
    correlation = irfft(whitened, size)
    reach = int(REACH_SECONDS * RATE)
    near = np.arange(-reach, reach + 1)
    values = correlation[near % size]
    best = int(values.argmax())
    least = max(PIECE_CLEAR * values.std(), alike * 2 * used.sum() / size)
    if best in (0, len(near) - 1) or values[best] < least:
        return None
    left, middle, right = values[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(near[best] + (0.5 * (left - right) / bend if bend < 0 else 0.0)) / RATE
