"""PSNR over a person and a rim around it: what is drawn too large costs as what is drawn too small.

PSNR over the mask alone never sees what a result adds outside of it, and so rewards inflation wherever masks disagree.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from simulacra.recon.perception.psnr import psnr

# Width of the rim in pixels of a picture whose longer side has this many.
RIM_PX, RIM_SIDE = 4.0, 512


def near_person(person: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The person's pixels and those whose centers are within `RIM_PX` of one, scaled with the picture's size."""
    if not person.any():
        return person
    distance = cv2.distanceTransform((~person).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= RIM_PX * max(person.shape) / RIM_SIDE


def psnr_near(
    image: Float[np.ndarray, "h w 3"],
    reference: Float[np.ndarray, "h w 3"],
    person: Bool[np.ndarray, "h w"],
) -> float:
    """PSNR in dB over the person and the rim, both images over the same background; infinite where they are equal.

    Raises:
        ValueError: nobody is there.
    """
    near = torch.from_numpy(near_person(person))
    return psnr(torch.from_numpy(image).double(), torch.from_numpy(reference).double(), near).item()
