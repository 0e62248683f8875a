"""Find where a person stands from three silhouettes: `python examples/mesh_silhouette.py`.

`antialias` is what gives silhouettes a gradient: without it, a pixel is either covered or not.
"""

import torch
import tyro

from simulacra.render.body import BodyPose, load_body
from simulacra.render.camera import look_at
from simulacra.render.mesh import antialias, rasterize_mesh


def main(steps: int = 120, size: int = 96) -> tuple[float, float]:
    """Returns how far the person is from the truth in the end: millimetres and degrees."""
    body = load_body()
    rest, still = body.rest(body.neutral_shape()), body.zero_pose()
    eyes = torch.tensor([[0.0, 1.2, 2.6], [2.3, 1.2, -1.3], [-2.3, 1.2, -1.3]])
    cameras = look_at(eyes, torch.tensor([[0.0, 0.9, 0.0]]).expand(3, 3), 1.1 * size, size, size)

    def silhouettes(place: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        heading = (turn * torch.tensor([0.0, 1.0, 0.0]))[None]  # the root's rotation
        pose = BodyPose(torch.cat([heading, still.rotations[0, 1:]])[None], place[None], still.expression)
        verts = body.pose(rest, pose).verts[0]
        drawn = rasterize_mesh(verts, body.faces, cameras)
        return antialias(drawn.covered.float()[..., None], verts, body.faces, cameras, drawn)

    true_place, true_turn = torch.tensor([0.12, 0.03, -0.08]), torch.tensor(0.35)
    seen = silhouettes(true_place, true_turn)
    place, turn = torch.zeros(3, requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([{"params": [place], "lr": 0.005}, {"params": [turn], "lr": 0.01}])
    for _ in range(steps):
        optimizer.zero_grad()
        (silhouettes(place, turn) - seen).square().mean().backward()
        optimizer.step()
    away, turned = (place - true_place).detach(), (turn - true_turn).detach()
    return 1000 * float(away.norm()), float(turned.abs().rad2deg())


if __name__ == "__main__":
    print("{:.1f} mm and {:.2f} degrees from the truth".format(*tyro.cli(main)))
