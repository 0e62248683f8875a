"""One person's part of a mask where several people are in the picture.

A pixel is claimed by each person as far as the network's mask of that person says so and their limbs are near; who
claims it most has it. Where two hug the network takes both for one, and the limbs decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from simulacra.recon.observe.roi import points_to_crop
from simulacra.recon.observe.soft_mask import SoftMask, resample

Body = Float[np.ndarray, "33 2"]

_LIMBS = (
    (11, 13), (13, 15), (12, 14), (14, 16), (0, 11), (0, 12),
    (23, 25), (25, 27), (24, 26), (26, 28), (27, 31), (28, 32),
)  # fmt: skip
_TRUNK = [11, 12, 24, 23]
# A claim falls off by this from the nearest limb, share of the body's extent: half a thigh.
_REACH = 0.04
# Who has less than the first of these shares of the claims has nothing of a pixel, who has more than the second all.
_LEAST, _MOST = 0.4, 0.6
# Of somebody whom the network does not see there is no mask: limbs alone claim.
_UNSEEN = 0.5
_SIDE = 256


def separate_soft(mask: SoftMask, own: Body, others: Sequence[tuple[Body, SoftMask | None]]) -> SoftMask:
    """A network's mask of one person without what others claim more.

    Args:
        own: the person's landmarks in the image.
        others: those of the others, and the network's masks of these.
    """
    height, width = mask.values.shape

    def in_crop(body: Body) -> Body:
        return points_to_crop(np.asarray(body, np.float32), mask.roi, width, height)

    claims = [
        (in_crop(body), np.full_like(mask.values, _UNSEEN) if theirs is None else resample(theirs, mask))
        for body, theirs in others
    ]
    return SoftMask(mask.values * _share((in_crop(own), mask.values), claims), mask.roi)


def separate_mask(
    mask: Float[np.ndarray, "h w"], own: Body, others: Sequence[Body]
) -> Float[np.ndarray, "h w"]:
    """A mask of everybody without what is nearer to others' limbs."""
    height, width = mask.shape
    scale = min(1.0, _SIDE / max(height, width))
    small = np.ones((max(1, round(height * scale)), max(1, round(width * scale))), np.float32)
    share = _share((own * scale, small), [(body * scale, small) for body in others])
    return mask * cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)


def _share(
    own: tuple[Body, Float[np.ndarray, "h w"]], others: Sequence[tuple[Body, Float[np.ndarray, "h w"]]]
) -> Float[np.ndarray, "h w"]:
    """0 where others claim a pixel, 1 where the person does."""
    claims = [
        np.log(np.maximum(values, 1e-3)) - limb_distance(body, values.shape)
        for body, values in (own, *others)
    ]
    if len(claims) == 1:
        return np.ones_like(own[1])
    behind = np.clip(np.max(claims[1:], axis=0) - claims[0], -50, 50)
    share = 1 / (1 + np.exp(behind))
    return np.clip((share - _LEAST) / (_MOST - _LEAST), 0, 1).astype(np.float32)


def limb_distance(body: Body, shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Of each pixel of a picture (height, width) to the nearest limb or the trunk.

    In reaches, which are 0.04 of the landmarks' extent in pixels.
    """
    known = np.isfinite(body).all(-1)
    at = np.clip(np.nan_to_num(body), -4 * max(shape), 5 * max(shape))
    free = np.full(shape, 255, np.uint8)
    for a, b in _LIMBS:
        if known[a] and known[b]:
            start, end = ([int(v) for v in at[k]] for k in (a, b))
            cv2.line(free, start, end, 0, 1)
    if known[_TRUNK].all():
        cv2.fillConvexPoly(free, cv2.convexHull(at[_TRUNK].astype(np.int32)), 0)
    if free.all():
        # Out of this picture: whoever is nearer by the middle.
        middle = at[known].mean(0) if known.any() else np.full(2, 1e6)
        ys, xs = np.mgrid[: shape[0], : shape[1]]
        found = np.hypot(xs - middle[0], ys - middle[1]).astype(np.float32)
    else:
        found = cv2.distanceTransform(free, cv2.DIST_L2, 5)
    extent = float(np.ptp(at[known], axis=0).max()) if known.any() else 1.0
    return found / max(_REACH * extent, 1.0)
