"""Parts, mirror images and skin weights."""

from __future__ import annotations

import torch

from simulacra.render.body import BodyModel


def test_the_mirror_is_one(body: BodyModel) -> None:
    template = body.shapes.template
    mirrored = template[body.mirror_vertices] * torch.tensor([-1.0, 1.0, 1.0])
    assert (mirrored - template).norm(dim=-1).max() < 1e-5
    assert torch.equal(body.mirror_vertices[body.mirror_vertices], torch.arange(body.n_verts))
    assert torch.equal(body.mirror_bones[body.mirror_bones], torch.arange(len(body.bone_names)))
    assert body.bone_names[int(body.mirror_bones[body.bone_names.index("wrist.L")])] == "wrist.R"


def test_parts_lie_where_they_are_called(body: BodyModel) -> None:
    verts = body.pose(body.rest(body.neutral_shape()), body.zero_pose()).verts[0]
    centre = {name: verts[body.part_labels == i].mean(0) for i, name in enumerate(body.part_names)}
    assert all((body.part_labels == i).any() for i in range(len(body.part_names)))
    for name, point in centre.items():
        if name.endswith("_l"):
            other = centre[name[:-1] + "r"]
            assert point[0] > 0.01 and torch.allclose(
                point * torch.tensor([-1.0, 1.0, 1.0]), other, atol=1e-3
            )
    order = ["foot_l", "shin_l", "thigh_l", "torso", "neck", "face", "scalp"]
    heights = [float(centre[name][1]) for name in order]
    assert heights == sorted(heights)
    assert centre["face"][2] > centre["scalp"][2] + 0.05
    assert centre["upper_arm_l"][0] < centre["lower_arm_l"][0] < centre["hand_l"][0]


def test_skin_weights_are_a_partition_of_one(body: BodyModel) -> None:
    assert torch.allclose(body.skin_weights.sum(1), torch.ones(body.n_verts), atol=1e-6)
    assert (body.skin_weights >= 0).all() and (body.skin_weights[:, 0] > 0).all()
    assert torch.equal(body.skin_weights.sort(dim=1, descending=True).values, body.skin_weights)
    dense = body.dense_weights
    assert torch.allclose(dense[body.mirror_vertices][:, body.mirror_bones], dense, atol=0.05)
