"""A person who moves without repeating, as cameras see them whose clocks were started one by one."""

from collections.abc import Sequence

import numpy as np

from simulacra.recon.multiview.offsets import SeenMotion
from tests.recon.planted_person import project, ring_of_cameras

# A person who stands, metres: head, shoulders, elbows, wrists, hips, knees, ankles by the numbers of `POSE33`.
STANDING = {
    0: (0.0, 1.6, 0.1), 11: (0.2, 1.4, 0.0), 12: (-0.2, 1.4, 0.0), 13: (0.3, 1.1, 0.0), 14: (-0.3, 1.1, 0.0),
    15: (0.3, 0.9, 0.1), 16: (-0.3, 0.9, 0.1), 23: (0.1, 0.9, 0.0), 24: (-0.1, 0.9, 0.0), 25: (0.1, 0.5, 0.0),
    26: (-0.1, 0.5, 0.0), 27: (0.1, 0.1, 0.0), 28: (-0.1, 0.1, 0.0),
}  # fmt: skip
# How far each moves, metres: limbs further than the trunk, which takes all with it.
REACH = {0: 0.1, 11: 0.05, 12: 0.05, 13: 0.15, 14: 0.15, 15: 0.3, 16: 0.3, 25: 0.1, 26: 0.1, 27: 0.1, 28: 0.1}
TONES = 40


def places_at(seconds: np.ndarray, seed: int) -> np.ndarray:
    """Landmarks (t, 33, 3) at any moments: sums of tones of 0.05 to 1.5 Hz, which never come together again."""
    random = np.random.default_rng(seed)
    places = np.full((len(seconds), 33, 3), np.nan)
    trunk = 0.15 * _waves(seconds, random)
    for landmark, place in STANDING.items():
        places[:, landmark] = place + trunk + REACH.get(landmark, 0.03) * _waves(seconds, random)
    return places


def _waves(seconds: np.ndarray, random: np.random.Generator) -> np.ndarray:
    hertz, phases = random.uniform(0.05, 1.5, (TONES, 3)), random.uniform(0, 2 * np.pi, (TONES, 3))
    return np.sin(2 * np.pi * hertz * seconds[:, None, None] + phases).sum(1) * np.sqrt(2 / TONES)


def seen_by(
    clocks: Sequence[np.ndarray],
    offsets: Sequence[float],
    noise_px: float = 3.0,
    seeds: Sequence[int] | int = 0,
) -> list[SeenMotion]:
    """What cameras of a ring see whose clocks showed 0 at these offsets, seconds.

    Args:
        clocks: times of each camera's pictures by its own clock.
        seeds: of the person, or of one for each camera: then they have nothing in common.
    """
    viewmats, Ks = ring_of_cameras(len(clocks))
    random = np.random.default_rng(99)
    seen = []
    for camera, (times, offset) in enumerate(zip(clocks, offsets, strict=True)):
        seed = seeds if isinstance(seeds, int) else seeds[camera]
        pixels = project(places_at(times + offset, seed), viewmats[[camera]], Ks[[camera]])[:, 0]
        pixels = pixels + noise_px * random.standard_normal(pixels.shape)
        seen.append(SeenMotion(times, pixels, np.where(np.isfinite(pixels).all(-1), 0.9, 0.0)))
    return seen
