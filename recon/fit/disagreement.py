"""Where landmarks alone and all evidence together give different bodies.

Clothes pull a body's surface outwards and hide joints; a hip that a detector places at a jacket's hem shortens a thigh.
Neither is right for certain: where they differ by more than two centimetres, somebody who measures with the result
should know.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from simulacra.recon.fit.body_space import BodySpace, Unknowns
from simulacra.render.body import BodyModel, RestBody

_MOST_M = 0.02
_LIMBS = {
    "left thigh": ("upperleg01.L", "lowerleg01.L"),
    "right thigh": ("upperleg01.R", "lowerleg01.R"),
    "left shin": ("lowerleg01.L", "foot.L"),
    "right shin": ("lowerleg01.R", "foot.R"),
    "left upper arm": ("upperarm01.L", "lowerarm01.L"),
    "right upper arm": ("upperarm01.R", "lowerarm01.R"),
    "left forearm": ("lowerarm01.L", "wrist.L"),
    "right forearm": ("lowerarm01.R", "wrist.R"),
}


def body_sizes(space: BodySpace, unknowns: Unknowns, rest: RestBody) -> dict[str, float]:
    """Stature, lengths of limbs, and the height of the soles over the world's origin, metres.

    Args:
        rest: the body that the unknowns shape.
    """
    body = space.body
    with torch.no_grad():
        posed = body.pose(rest, space.pose(unknowns), vertices=body.soles)
    heights, heads = rest.verts[:, 1], rest.T_world_bone[:, :3, 3]
    found = {"stature": heights.max() - heights.min(), "soles": posed.verts[..., 1].amin(1).median()}
    for name, (first, last) in _LIMBS.items():
        a, b = (heads[body.bone_names.index(bone)] for bone in (first, last))
        found[name] = (a - b).norm()
    return {name: float(value) for name, value in found.items()}


def differences(by_landmarks: Mapping[str, float], by_all: Mapping[str, float]) -> dict[str, float]:
    """What differs by more than two centimetres: by how much all evidence has it larger, or higher, metres."""
    found = {name: by_all[name] - value for name, value in by_landmarks.items()}
    return {name: round(value, 4) for name, value in found.items() if abs(value) > _MOST_M}


def unshown(body: BodyModel, views: Mapping[str, int]) -> set[str]:
    """Sizes of what no camera saw, which are guesses either way.

    Args:
        views: how many cameras saw each bone (`recon.fit.seen.joint_views`).
    """
    hidden = {name for name, bones in _LIMBS.items() if any(views.get(bone, 0) == 0 for bone in bones)}
    legs = all(views.get(bone, 0) > 0 for bone in ("foot.L", "foot.R") if bone in body.bone_names)
    return hidden | (set() if legs else {"stature", "soles"})


def difference_sentence(found: Mapping[str, float]) -> str:
    """One sentence; nothing where nothing differs.

    Args:
        found: of `differences`.
    """
    if not found:
        return ""
    parts = [
        f"{name} {'+' if value > 0 else '-'}{1000 * abs(value):.0f} mm"
        for name, value in sorted(found.items())
    ]
    return (
        "Landmarks alone give another body than landmarks, masks and depth together: "
        f"{', '.join(parts)}. Clothes may hide joints; measure with care."
    )
