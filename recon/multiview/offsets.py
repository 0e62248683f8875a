"""Offsets of seconds and minutes between cameras that were started one by one, from the motion that they see.

Nothing of a calibration is needed. Seen from afar, the velocities of a point in two pictures share one direction in
space: some component of the one is proportional to some component of the other, the same for all points (the affine
epipolar constraint). How far that holds at a lag is told by the canonical correlations of the two velocity fields at
this lag, over all points and times that both saw: sums of products, which are correlations by FFT. Their likelihood
ratio, in nats, is the evidence for a lag; evidence of pairs adds up over cameras.

Points are the middles of left and right landmarks, which a detector that takes left for right leaves where they are.
Finer than a step, and where a calibration is known, `recon.multiview.clocks` goes on from here.

Symbols: ``n`` pictures, ``t`` steps of time, ``m`` middles, ``l`` lags, ``c`` cameras.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d

# Landmarks of `POSE33` whose middles are followed: nose, shoulders, elbows, wrists, hips, knees, ankles.
MIDDLES = ((0, 0), (11, 12), (13, 14), (15, 16), (23, 24), (25, 26), (27, 28))
# Standard deviation of the filter before differentiation: seconds, and at least so many steps.
SMOOTHING, STEPS_SMOOTHED = 0.05, 1.5
# Samples that follow each other repeat each other at least over so many of its standard deviations.
REPEATED = 3.5
# What is added to variances, as a share of the whole recording's: a stretch without motion explains nothing.
RIDGE = 0.05
# Speeds beyond so many medians are jumps of a detector.
FASTEST = 7.5
# Cameras must have seen the person together for so many seconds, at least.
LEAST_OVERLAP = 0.5
# Lags nearer than so many standard deviations of the filter are one peak.
PEAK = 4.0
# Nats by which an offset must beat every other one of its camera to be believed. Of a camera that sees another person
# than all others the best of thousands of lags beats the next by 0.8 (median), 4.3 (95 %) and 6.6 (most of 200).
CLEAR = 5.0


@dataclass(frozen=True)
class SeenMotion:
    """Landmarks of one person in the pictures of one camera.

    Attributes:
        times: of the pictures by the camera's own clock, rising, seconds.
        pixels: NaN where not seen.
        confidence: 0..1.
    """

    times: Float[np.ndarray, " n"]
    pixels: Float[np.ndarray, "n 33 2"]
    confidence: Float[np.ndarray, "n 33"]


@dataclass(frozen=True)
class VelocityField:
    """Velocities of middles in steps of a clock, in units of their usual size.

    Attributes:
        first: number of the first step: its time is so many steps.
        velocities: 0 where there is none.
        weights: 0 where there is none.
    """

    first: int
    velocities: Float[np.ndarray, "t m 2"]
    weights: Float[np.ndarray, "t m"]


@dataclass(frozen=True)
class LagEvidence:
    """How well each lag of a second camera behind a first explains both.

    Attributes:
        largest: the lags are all whole steps from minus this to this.
        nats: logarithm of the likelihood ratio; 0 where they have too little in common.
    """

    largest: int
    nats: Float[np.ndarray, " l"]

    def at(self, lags: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Evidence for lags, steps; 0 beyond the largest."""
        inside = np.abs(lags) <= self.largest
        return np.where(inside, self.nats[np.clip(lags + self.largest, 0, 2 * self.largest)], 0.0)


@dataclass(frozen=True)
class Offsets:
    """When the clocks of cameras show 0, by a common clock.

    Attributes:
        seconds: later ones are positive; the median of those that are believed has 0.
        margins: nats by which each beats every other offset of its camera.
    """

    seconds: Float[np.ndarray, " c"]
    margins: Float[np.ndarray, " c"]

    @property
    def unclear(self) -> tuple[int, ...]:
        """Cameras whose offset is not to be believed."""
        return tuple(np.flatnonzero(self.margins < CLEAR).tolist())


def find_offsets(seen: Sequence[SeenMotion], largest: float) -> Offsets:
    """The offsets that explain the motion in all cameras best.

    Args:
        seen: of each camera.
        largest: difference of two cameras that is looked for, seconds.
    """
    step = common_step(seen)
    fields = [velocity_field(one, step) for one in seen]
    reach = round(largest / step)
    evidence = {
        (a, b): pair_evidence(fields[a], fields[b], step, reach)
        for a, b in itertools.combinations(range(len(seen)), 2)
    }
    return agree_on_offsets(evidence, len(seen), step)


def common_step(seen: Sequence[SeenMotion]) -> float:
    """The usual interval of the slowest camera, seconds."""
    return max(float(np.median(np.diff(one.times))) for one in seen)


def velocity_field(seen: SeenMotion, step: float) -> VelocityField:
    """How the middles move: smoothed, about their mean over the recording, jumps bounded."""
    first, last = int(np.ceil(seen.times[0] / step)), int(np.floor(seen.times[-1] / step))
    left, right = np.array(MIDDLES).T
    positions = (seen.pixels[:, left] + seen.pixels[:, right]) / 2
    weights = np.minimum(seen.confidence[:, left], seen.confidence[:, right])
    weights = np.where(np.isfinite(positions).all(-1), weights, 0.0)
    at, known = _sample(seen.times, np.nan_to_num(positions), weights, step * np.arange(first, last + 1))
    width = max(SMOOTHING / step, STEPS_SMOOTHED)
    total = gaussian_filter1d(known, width, axis=0, mode="constant")
    smooth = gaussian_filter1d(known[..., None] * at, width, axis=0, mode="constant")
    smooth = smooth / np.maximum(total, 1e-9)[..., None]
    velocities = np.gradient(smooth, axis=0) if len(smooth) > 1 else np.zeros_like(smooth)
    # Beside gaps and ends the filter leans to one side.
    missing = gaussian_filter1d((known <= 0).astype(float), width, axis=0, mode="constant", cval=1.0)
    known = np.where(missing < 0.2, known, 0.0)
    if not (known > 0).any():
        return VelocityField(first, np.zeros_like(velocities), known)
    mean = (known[..., None] * velocities).sum(0) / np.maximum(known.sum(0), 1e-9)[:, None]
    velocities = np.where(known[..., None] > 0, velocities - mean, 0.0)
    speeds = np.linalg.norm(velocities, axis=-1)
    usual = max(float(np.median(speeds[known > 0])), 1e-9)
    bound = np.minimum(1.0, FASTEST * usual / np.maximum(speeds, 1e-12))
    return VelocityField(first, velocities / usual * bound[..., None], known)


def _sample(
    times: Float[np.ndarray, " n"],
    positions: Float[np.ndarray, "n m 2"],
    weights: Float[np.ndarray, "n m"],
    wanted: Float[np.ndarray, " t"],
) -> tuple[Float[np.ndarray, "t m 2"], Float[np.ndarray, "t m"]]:
    """Between neighbours, linearly; without weight where they are further apart than dropped pictures explain."""
    low = np.clip(np.searchsorted(times, wanted, "right") - 1, 0, len(times) - 2)
    apart = times[low + 1] - times[low]
    share = np.clip((wanted - times[low]) / apart, 0.0, 1.0)[:, None]
    sampled = (1 - share[..., None]) * positions[low] + share[..., None] * positions[low + 1]
    together = np.minimum(weights[low], weights[low + 1])
    near = apart <= 5 * np.median(np.diff(times))
    return sampled, np.where(near[:, None], together, 0.0)


def pair_evidence(a: VelocityField, b: VelocityField, step: float, largest: int) -> LagEvidence:
    """Evidence for every lag: what ``a`` shows at its step i, ``b`` shows at its step i + lag.

    Args:
        step: seconds.
        largest: lag, steps.
    """
    size = next_fast_len(len(a.weights) + len(b.weights), real=True)
    shifts = np.arange(-largest, largest + 1) - (b.first - a.first)
    inside = (shifts > -len(a.weights)) & (shifts < len(b.weights))
    places = np.where(inside, shifts, 0) % size

    def correlate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        products = np.conj(rfft(first, size, axis=0)) * rfft(second, size, axis=0)
        return np.where(inside, irfft(products.sum(1), size)[places], 0.0)

    shape = (len(shifts), 2, 2)
    own_a, own_b, cross = np.empty(shape), np.empty(shape), np.empty(shape)
    va, vb, wa, wb = a.velocities, b.velocities, a.weights, b.weights
    for i, j in np.ndindex(2, 2):
        own_a[:, i, j] = correlate(wa * va[..., i] * va[..., j], wb)
        own_b[:, i, j] = correlate(wa, wb * vb[..., i] * vb[..., j])
        cross[:, i, j] = correlate(wa * va[..., i], wb * vb[..., j])
    count = np.maximum(correlate(wa, wb), 0.0)
    own_a += RIDGE * (_variance(a) * count + 1e-12)[:, None, None] * np.eye(2)
    own_b += RIDGE * (_variance(b) * count + 1e-12)[:, None, None] * np.eye(2)
    explained = np.linalg.solve(own_a, cross) @ np.linalg.solve(own_b, np.swapaxes(cross, 1, 2))
    # det(1 - M) is the product of 1 - r² over both canonical correlations r.
    left = np.clip(np.linalg.det(np.eye(2) - explained), 1e-9, 1.0)
    nats = -0.5 * count / _repeated(a, b, step) * np.log(left)
    return LagEvidence(largest, np.where(count * step / wa.shape[1] >= LEAST_OVERLAP, nats, 0.0))


def _repeated(a: VelocityField, b: VelocityField, step: float) -> float:
    """How many samples say as much as one that is independent: neighbours in time and middles of one body move alike.

    Over time the sum of the product of both autocorrelations (Bartlett 1946), over the body the number of middles by
    how many there would be if all moved for themselves (the participation ratio of their covariance).
    """
    size = next_fast_len(2 * max(len(a.weights), len(b.weights)), real=True)
    alike, free = [], []
    for field in (a, b):
        flat = (field.weights[..., None] * field.velocities).reshape(len(field.weights), -1)
        power = irfft((np.abs(rfft(flat, size, axis=0)) ** 2).sum(1), size)
        alike.append(power / max(power[0], 1e-12))
        covariance = sum(flat[:, i::2].T @ flat[:, i::2] for i in (0, 1))
        free.append(np.trace(covariance) ** 2 / max(float((covariance**2).sum()), 1e-12))
    in_time = max(float((alike[0] * alike[1]).sum()), REPEATED * max(SMOOTHING / step, STEPS_SMOOTHED))
    return in_time * a.weights.shape[1] / max(min(free), 1.0)


def _variance(field: VelocityField) -> float:
    weighted = (field.weights[..., None] * field.velocities**2).sum()
    return float(weighted / max(2 * field.weights.sum(), 1e-9))


def agree_on_offsets(evidence: Mapping[tuple[int, int], LagEvidence], cameras: int, step: float) -> Offsets:
    """Offsets with the most evidence over all pairs: clear pairs first, then each camera against all others.

    An offset at the end of what was searched, or of what two cameras have in common, is none: its margin is 0.

    Args:
        evidence: of pairs of cameras, the lower number first.
        step: of lags, seconds.
    """
    believed = _clear_cameras(evidence, cameras, step)
    places = _settle(evidence, believed, cameras, step)
    seconds, margins = np.zeros(cameras), np.zeros(cameras)
    for camera in range(cameras):
        others = believed[believed != camera]
        seconds[camera], margins[camera] = _summit_of(*_evidence_of(camera, places, evidence, others), step)
    return Offsets(seconds - np.sort(seconds[believed])[(len(believed) - 1) // 2], margins)


def _clear_cameras(
    evidence: Mapping[tuple[int, int], LagEvidence], cameras: int, step: float
) -> Int[np.ndarray, " k"]:
    """The most cameras that are all clear beside each other: a wrong one would lead the others astray.

    From the clearest pair on, the camera that is clearest beside those before it joins.
    """
    clearest = _clarity_of_pairs(evidence, range(cameras), step)
    group = np.array(max(clearest, key=lambda pair: clearest[pair][0]))
    believed = group
    while True:
        places = _settle(evidence, group, cameras, step)
        beside = [
            _summit_of(*_evidence_of(camera, places, evidence, group[group != camera]), step)[1]
            for camera in range(cameras)
        ]
        if min(beside[camera] for camera in group) >= CLEAR:
            believed = group
        outside = [camera for camera in range(cameras) if camera not in group]
        if not outside:
            return believed
        group = np.sort(np.append(group, max(outside, key=lambda camera: beside[camera])))


def _settle(
    evidence: Mapping[tuple[int, int], LagEvidence], among: Int[np.ndarray, " k"], cameras: int, step: float
) -> Int[np.ndarray, " c"]:
    """Offsets in steps of some cameras; 0 for the others."""
    places = _spread_from_clear_pairs(evidence, among, cameras, step)
    for _ in range(2 * cameras):
        before = places.copy()
        for camera in among.tolist():
            tried, nats = _evidence_of(camera, places, evidence, among[among != camera])
            places[camera] = tried[int(nats.argmax())]
        if (places == before).all():
            break
    return places


def _summit_of(
    tried: Int[np.ndarray, " k"], nats: Float[np.ndarray, " k"], step: float
) -> tuple[float, float]:
    """The best offset, seconds, and its margin; 0 at an end of what was tried or of what is in common."""
    best = int(nats.argmax())
    apart = np.abs(tried - tried[best]) * step > _peak(step)
    if best in (0, len(tried) - 1) or min(nats[best - 1], nats[best + 1]) <= 0 or not apart.any():
        return float(step * tried[best]), 0.0
    summit = tried[best] + _summit(nats[best - 1 : best + 2])
    return float(step * summit), float(nats[best] - nats[apart].max())


def _peak(step: float) -> float:
    return PEAK * step * max(SMOOTHING / step, STEPS_SMOOTHED)


def _summit(nats: Float[np.ndarray, "3"]) -> float:
    """Where the parabola through three values is highest, from the middle one, steps."""
    left, middle, right = nats
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))


def _evidence_of(
    camera: int,
    places: Int[np.ndarray, " c"],
    evidence: Mapping[tuple[int, int], LagEvidence],
    others: Int[np.ndarray, " k"],
) -> tuple[Int[np.ndarray, " o"], Float[np.ndarray, " o"]]:
    """Offsets of one camera, steps, and the evidence of others for each while these stay.

    Clocks that run from one moment on show lag = offset of the first - offset of the second.
    """
    largest = next(iter(evidence.values())).largest
    tried = np.arange(places[others].max() - largest, places[others].min() + largest + 1)
    if len(tried) < 3:
        tried = places[camera] + np.arange(-1, 2)
    nats = np.zeros(len(tried))
    for other in others.tolist():
        first, second = min(camera, other), max(camera, other)
        lags = tried - places[other]
        nats += evidence[first, second].at(lags if first == camera else -lags)
    return tried, nats


def _spread_from_clear_pairs(
    evidence: Mapping[tuple[int, int], LagEvidence], among: Int[np.ndarray, " k"], cameras: int, step: float
) -> Int[np.ndarray, " c"]:
    """A tree of the pairs whose best lag is clearest (Kruskal's)."""
    best = _clarity_of_pairs(evidence, among.tolist(), step)
    places, group = np.zeros(cameras, dtype=int), np.arange(cameras)
    for (a, b), (_, lag) in sorted(best.items(), key=lambda item: -item[1][0]):
        if group[a] != group[b]:
            moved = group == group[b]
            places[moved] += places[a] - lag - places[b]
            group[moved] = group[a]
    return places


def _clarity_of_pairs(
    evidence: Mapping[tuple[int, int], LagEvidence], among: Sequence[int], step: float
) -> dict[tuple[int, int], tuple[float, int]]:
    """By how many nats the best lag of each pair beats all others, and that lag, steps."""
    best = {}
    for a, b in itertools.combinations(among, 2):
        found = evidence[a, b]
        place = int(found.nats.argmax())
        apart = np.abs(np.arange(len(found.nats)) - place) * step > _peak(step)
        rest = float(found.nats[apart].max()) if apart.any() else 0.0
        best[a, b] = (float(found.nats[place]) - rest, place - found.largest)
    return best
