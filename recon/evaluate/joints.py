"""The fitted body's limb joints, as a reference calls them.

A reference names the places that its own detector was trained to call a joint. Those of the common ones (COCO and
OpenPose's BODY_25) are what the body's `coco23` regressors give; the bones' heads are the anatomical centres, a few
centimetres deeper. The regressors are therefore compared.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from simulacra.recon.fit.record import BodyFit
from simulacra.recon.perception.joints import LIMB_JOINTS
from simulacra.render.body import BodyModel


def limb_joints(fit: BodyFit, body: BodyModel) -> tuple[tuple[str, ...], Float[np.ndarray, "t 12 3"]]:
    """Names and places of the 12 limb joints in every fitted frame, world, metres."""
    names = body.keypoints["coco23"].names
    with torch.no_grad():
        points = body.keypoints_at("coco23", body.rest(fit.shape), fit.pose).double().numpy()
    return LIMB_JOINTS, points[:, [names.index(name) for name in LIMB_JOINTS]]
