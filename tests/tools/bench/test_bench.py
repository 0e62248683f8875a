"""The benchmarks' scenes are what they say, and their ratios are taken pairwise."""

from __future__ import annotations

import torch

from render.gaussians import rasterize_gaussians
from render.mesh import face_normals, rasterize_mesh
from simulacra.tools.bench.scene import camera, person_gaussians, person_mesh
from simulacra.tools.bench.timing import paired


def test_mesh_has_its_size_and_closed_tubes_face_outwards() -> None:
    verts, faces = person_mesh()
    assert verts.shape == (14040, 3)
    assert faces.shape == (27144, 3)
    assert 1.7 < float(verts[:, 1].max() - verts[:, 1].min()) < 2.0
    tube = faces < 36 * 30  # the trunk, the first limb
    trunk = faces[tube.all(1)]
    outwards = verts[trunk].mean(1) - torch.tensor([0.0, 1.175, 0.0])
    assert ((face_normals(verts, trunk) * outwards).sum(-1) > 0).float().mean() > 0.9


def test_person_fills_the_image_in_both_renderers() -> None:
    verts, faces = person_mesh()
    cameras = camera(64)
    mesh = rasterize_mesh(verts, faces, cameras).covered[0]
    splats = rasterize_gaussians(person_gaussians(4000), cameras).alpha[0] > 0.5
    rows = mesh.any(1).nonzero()
    assert rows.max() - rows.min() > 0.8 * 64
    overlap = (mesh & splats).sum() / (mesh | splats).sum()
    assert overlap > 0.6  # Gaussians reach half a pixel farther out, which is much of a thin arm at this size


def test_person_is_the_same_for_a_seed() -> None:
    assert torch.equal(person_gaussians(50, 1).means, person_gaussians(50, 1).means)
    assert not torch.equal(person_gaussians(50, 1).means, person_gaussians(50, 2).means)


def test_ratios_are_paired_within_turns() -> None:
    """A clock of its own: the second way always takes half the first's time, whatever the turn costs."""
    calls: list[str] = []

    def way(name: str, loops: int) -> None:
        calls.append(name)
        total = 0.0
        for i in range(loops):
            total += i * 0.5

    timings = paired({"slow": lambda: way("s", 400_000), "fast": lambda: way("f", 4_000)}, 3, wall=False)
    assert calls == ["s", "f"] * 4
    assert timings[0].ratio == 1.0
    assert timings[1].ratio > timings[0].ratio
