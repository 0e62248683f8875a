"""Which chains of joints below a hand are which fingers: by their names, their numbers, or their places."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from simulacra.recon.motion.names import FINGERS, JointName

# Phalanges of a finger; writers add a bone of the palm before them, and a tip behind.
_PHALANGES = 3
# The way from the wrist to a thumb's first joint, of that to the little finger's; 0.45 and 0.6 of two rigs.
_THUMB = 0.75
_PALM = re.compile(r"metacarpal|carpal|inhand|palm|base")


def name_fingers(
    chains: list[list[int]], names: list[JointName], offsets: Float[np.ndarray, "n 3"]
) -> dict[str, tuple[int, ...]]:
    """Up to three joints of each finger, thumb to little finger, whose chain is told.

    Args:
        chains: the joints of each chain, from the hand outwards.
        names: of all joints.
        offsets: of all joints from their parents.
    """
    found: dict[str, list[int]] = {}
    for chain in chains:
        said = [finger for joint in chain for finger in FINGERS if finger in names[joint].parts]
        if said:
            found.setdefault(said[-1], chain)
    rest = [chain for chain in chains if chain not in found.values()]
    numbers = {_number_of(chain, names): chain for chain in rest}
    if not found and None not in numbers and len(numbers) == len(rest) > 1:
        found = dict(zip(FINGERS, (chain for _, chain in sorted(numbers.items())), strict=False))
    elif not found and len(rest) == len(FINGERS):
        found = dict(zip(FINGERS, _order_by_place(rest, offsets), strict=False))
    elif len(rest) == 1 and not set(found) - {"thumb"} and any("finger" in names[j].parts for j in rest[0]):
        # A mitten: one joint for four fingers.
        found |= dict.fromkeys(FINGERS[1:], rest[0])
    return {finger: _phalanges(chain, names, offsets) for finger, chain in found.items()}


def _number_of(chain: list[int], names: list[JointName]) -> int | None:
    """The first digit behind the word finger."""
    said = [re.search(r"finger(\d)", names[joint].text) for joint in chain]
    return next((int(each.group(1)) for each in said if each), None)


def _order_by_place(chains: list[list[int]], offsets: Float[np.ndarray, "n 3"]) -> list[list[int]]:
    """Five chains from the thumb on: knuckles are side by side across the hand, the thumb's nearest to the wrist.

    None where no end of the row is clearly a thumb: a hand of swapped fingers is worse than a still one.
    """
    knuckles = np.array([offsets[chain[: max(len(chain) - _PHALANGES + 1, 1)]].sum(0) for chain in chains])
    outwards = knuckles.mean(0) / max(float(np.linalg.norm(knuckles.mean(0))), 1e-12)
    beside = knuckles - np.outer(knuckles @ outwards, outwards)
    along = beside @ np.linalg.svd(beside - beside.mean(0))[2][0]
    order = sorted(range(len(chains)), key=lambda i: float(along[i]))
    reach = np.linalg.norm(knuckles, axis=1)
    order = order if reach[order[0]] <= reach[order[-1]] else order[::-1]
    return [chains[i] for i in order] if reach[order[0]] < _THUMB * reach[order[-1]] else []


def _phalanges(
    chain: list[int], names: list[JointName], offsets: Float[np.ndarray, "n 3"]
) -> tuple[int, ...]:
    while len(chain) > 1 and _PALM.search(names[chain[0]].text):
        chain = chain[1:]
    windows = [chain[i : i + _PHALANGES] for i in range(len(chain) - _PHALANGES + 1)]
    counted = [window for window in windows if _counts_up(window, names)] or windows or [chain]
    # A bone of the palm begins at the wrist, and is longer than the way to it; a tip is the last of too many.
    to, along = (float(np.linalg.norm(offsets[joint])) for joint in (*counted[0], *counted[0])[:2])
    return tuple(counted[1] if len(counted) > 1 and to < along else counted[0])


def _counts_up(chain: list[int], names: list[JointName]) -> bool:
    """Whether the numbers of the joints follow each other."""
    found = [re.search(r"(\d)$", names[joint].text) for joint in chain]
    numbers = [int(each.group(1)) for each in found if each]
    return len(numbers) == len(chain) and all(b == a + 1 for a, b in pairwise(numbers))
