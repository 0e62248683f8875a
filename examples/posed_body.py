"""Pose a body and draw it: `python examples/posed_body.py --out posed.png`.

A bone turns about its head by an axis and an angle, on top of its parent; +X is the person's left, +Y up, +Z forward.
"""

from pathlib import Path

import torch
import tyro

from simulacra.render.body import load_body
from simulacra.render.camera import look_at
from simulacra.render.image import composite, write_image
from simulacra.render.mesh import shade

ROTATIONS = {"upperarm01.L": (0, 0, 1.2), "lowerarm01.L": (0, 0, 0.9), "head": (0.1, 0.4, 0)}  # radians
ACTIONS = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "jawOpen": 0.3}


def main(out: Path = Path("posed.png"), height: float = 0.45, width: int = 480) -> torch.Tensor:
    """Returns where the left wrist is, metres."""
    body = load_body()
    shape, pose = body.neutral_shape(), body.zero_pose()
    shape.phenotypes[body.phenotype_names.index("height")] = height
    for bone, rotation in ROTATIONS.items():
        pose.rotations[0, body.bone_names.index(bone)] = torch.tensor(rotation)
    for action, strength in ACTIONS.items():
        pose.expression[0, body.expression_names.index(action)] = strength

    posed = body.pose(body.rest(shape), pose)
    eye, target = torch.tensor([[0.8, 1.3, 3.0]]), torch.tensor([[0.1, 0.95, 0.0]])
    camera = look_at(eye, target, 1.9 * width, width, 4 * width // 3)
    rgb_premul, alpha = shade(posed.verts[0], body.faces, camera)
    write_image(out, composite(rgb_premul[0], alpha[0], torch.tensor([0.93, 0.94, 0.96])).numpy())
    points = body.keypoints["pose33"]
    return points(posed)[0, points.names.index("left_wrist")]


if __name__ == "__main__":
    print("the left wrist is at x {:.2f}, y {:.2f}, z {:.2f} m".format(*tyro.cli(main).tolist()))
