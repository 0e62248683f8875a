"""The benchmarks' scenes are what they say, and their ratios are taken pairwise."""

from __future__ import annotations

import json

import pytest
import torch

from simulacra.render.gaussians import rasterize_gaussians
from simulacra.render.mesh import face_normals, rasterize_mesh
from simulacra.tools.bench import splat
from simulacra.tools.bench.arithmetic import peak_flops, useful_pairs
from simulacra.tools.bench.memory import STATUS, peak_mb
from simulacra.tools.bench.scene import camera, person_gaussians, person_mesh
from simulacra.tools.bench.timing import paired
from simulacra.tools.bench.torch_tiles import draw


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


def test_plain_torch_draws_the_same_picture_with_the_same_gradients() -> None:
    """Float32 both: a Gaussian at the edge of a threshold may fall to either side, worth 1/255 of a pixel."""
    gaussians, cameras = person_gaussians(3000), camera(100)  # no multiple of a tile
    leaves = gaussians.replace(
        means=gaussians.means.clone().requires_grad_(), sh=gaussians.sh.clone().requires_grad_()
    )
    upstream = torch.rand(100, 100, 3, generator=torch.Generator().manual_seed(0))
    pictures = [draw(leaves, cameras), rasterize_gaussians(leaves, cameras).rgb_premul[0]]
    torch.testing.assert_close(pictures[0], pictures[1], rtol=0, atol=5e-3)
    ours, theirs = (torch.autograd.grad(p, [leaves.means, leaves.sh], upstream) for p in pictures)
    for a, b in zip(ours, theirs):
        assert float((a - b).norm() / b.norm()) < 1e-3


def test_useful_pairs_are_counted() -> None:
    """One opaque Gaussian that is wide as seen from the camera: it reaches 1/255 within sqrt(2 ln(255 o)) sigma."""
    one = person_gaussians(1).replace(
        means=torch.tensor([[0.0, 0.88, 0.0]]),  # what the camera looks at
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        log_scales=torch.full((1, 3), 0.1).log(),
        logit_opacities=torch.logit(torch.tensor([0.5])),
    )
    cameras = camera(200)
    focal, distance = float(cameras.Ks[0, 0, 0]), float((cameras.centers() - one.means).norm())
    radius_squared = 2 * torch.log(torch.tensor(0.5 * 255)) * ((0.1 * focal / distance) ** 2 + 0.3)
    assert useful_pairs(one, cameras) == pytest.approx(float(torch.pi * radius_squared), rel=0.06)
    # A second one behind it is seen through it.
    hidden = torch.cat([one.means, one.means + torch.tensor([[0.0, 0.0, -0.5]])])
    two = one[torch.zeros(2, dtype=torch.long)].replace(means=hidden)
    assert useful_pairs(two, cameras) > 1.5 * useful_pairs(one, cameras)


def test_peak_grows_with_nothing_but_the_machine() -> None:
    assert 1e8 < peak_flops(1) < 1e13


def allocate(megabytes: int):  # type: ignore[no-untyped-def]
    return lambda: torch.ones(megabytes << 18).sum()


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell a process's peak memory")
def test_peak_memory_is_what_a_call_takes() -> None:
    measured = peak_mb(allocate, 64)
    assert measured is not None
    assert 60 < measured < 90


def test_rows_come_out_as_json_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(splat, "SCENES", ())
    rows = splat.run(repeats=1, as_json=True)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["way"] for row in printed] == [row.way for row in rows]
    assert printed[0]["way"] == "cpu, 1 thread"
    assert printed[0]["forward_ratio"] == 1.0
    assert {"plain torch", "reference"} <= {row["way"] for row in printed}
    assert all(row["forward_ms"] > 0 and 0 < row["forward_share"] < 1 for row in printed)
