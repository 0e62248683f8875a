"""The moment that is fused: the first of the best ones in which depth is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float

from simulacra.recon.refine.depth_cleaning import CleanDepth, clean_depth
from simulacra.recon.session import Session
from simulacra.render.runtime.errors import CaptureError

MaskOf = Callable[[int, str], Float[np.ndarray, "h w"] | None]

# Believable pixels of all cameras together: a few stray ones are no surface.
LEAST_PIXELS = 1000
# A capture in whose best moments depth and person do not meet has another fault; it is not searched to its end.
MOST_TRIED = 32


def choose_moment(
    session: Session, ranked: Iterable[int], cameras: Sequence[str], mask_of: MaskOf
) -> int | None:
    """The first of these frames in which the masks and the depth images hold the person.

    Args:
        ranked: numbers of frames, the one that shows the person best first (`recon.observe.presence.rank_moments`).
        mask_of: the person's mask of a frame and camera.

    Returns:
        the frame; None where no frame has depth beside a mask.

    Raises:
        CaptureError: there is depth, but nothing of the person in it.
    """
    if all(session.camera(name).depth_scale is None for name in cameras):
        return None
    tried: list[int] = []
    for frame in ranked:
        depths = clean_depths(session, frame, cameras, mask_of)
        if count_usable(depths.values()) >= LEAST_PIXELS:
            return frame
        tried += [frame] if depths else []
        if len(tried) == MOST_TRIED:
            break
    if not tried:
        return None
    raise CaptureError(
        "the depth images hold nothing of the person",
        where=f"{'frame' if len(tried) == 1 else 'frames'} {', '.join(map(str, tried))}; "
        f"cameras {', '.join(cameras)}",
        expected=f"{LEAST_PIXELS} pixels of depth inside the masks of one frame",
        remedy="look at the masks, the depth scale and the depth-to-color alignment: simulacra import says how",
    )


def clean_depths(
    session: Session, frame: int, cameras: Sequence[str], mask_of: MaskOf
) -> dict[str, CleanDepth]:
    """The believable depth of the cameras that have a mask and depth of the frame."""
    found = {}
    for camera in cameras:
        measured = session.depth(frame, camera)
        mask = None if measured is None else mask_of(frame, camera)
        if measured is not None and mask is not None:
            found[camera] = clean_depth(*measured, mask, session.cameras_as_tensors(camera))
    return found


def count_usable(depths: Iterable[CleanDepth]) -> int:
    """Believable pixels of all together."""
    return sum(int(clean.usable.sum()) for clean in depths)
