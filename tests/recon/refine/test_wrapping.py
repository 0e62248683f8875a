"""A dressed body is measured and wrapped: the mesh is where the clothes are, closed, and moves as the body does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.refine import Surface
from simulacra.recon.refine.pulls import OutlineEvidence, SurfaceEvidence
from simulacra.recon.refine.wrapping import Moment, wrap_body
from simulacra.render.body import BodyModel, BodyPose, BodyShape
from simulacra.render.camera import Cameras, look_at
from simulacra.render.mesh import rasterize_mesh, vertex_normals
from simulacra.render.skinned_mesh import SkinnedMesh, pose_mesh

LONGEST = 0.03


def bent(body: BodyModel) -> BodyPose:
    """Arms raised to the front, one knee lifted."""
    pose = body.zero_pose()
    for name, turn in {
        "upperarm01.L": (-0.9, 0, 0),
        "upperarm01.R": (-0.5, 0, 0),
        "upperleg01.L": (-0.7, 0, 0),
    }.items():
        pose.rotations[0, body.bone_names.index(name)] = torch.tensor(turn)
    return pose


def clothes(body: BodyModel, verts: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """The body at rest under cloth that stands off by 1 to 3 cm; hands, feet and head are bare."""
    dressed = [
        name in ("torso", "thigh_l", "thigh_r", "upper_arm_l", "upper_arm_r") for name in body.part_names
    ]
    thick = 0.02 + 0.01 * torch.sin(18 * verts[:, 1:2])
    covered = torch.tensor(dressed)[body.part_labels].float()[:, None]
    return verts + covered * thick * vertex_normals(verts, body.faces)


def points_of(verts: Float[Tensor, "v 3"], body: BodyModel, bare: tuple[str, ...] = ()) -> Surface:
    """The surface as a fusion would give it, without some parts."""
    solid = trimesh.Trimesh(verts.numpy(), body.faces.numpy(), process=False)
    points, of = trimesh.sample.sample_surface(solid, 40_000, seed=0)
    left = torch.tensor([name.startswith(bare) for name in body.part_names]) if bare else None
    kept = np.ones(len(of), bool)
    if left is not None:
        kept = ~left[body.part_labels[body.faces[torch.from_numpy(of)]]].any(1).numpy()
    normals = solid.face_normals[of]
    count = int(kept.sum())
    known = np.ones(count, bool)
    return Surface(
        0,
        np.full(count, 0.006, np.float32),
        points[kept].astype(np.float32),
        normals[kept].astype(np.float32),
        np.zeros((count, 3), np.float32),
        known,
        known,
    )


def wrapped(body: BodyModel, shape: BodyShape, pose: BodyPose, surface: Surface) -> SkinnedMesh:
    return wrap_body(body, shape, [Moment(pose, (SurfaceEvidence(surface),))], LONGEST)


def to_surface(points: Float[np.ndarray, "n 3"], verts: Tensor, faces: Tensor) -> Float[np.ndarray, " n"]:
    """Distances of points to a mesh, by points spread densely over it."""
    spread, _ = trimesh.sample.sample_surface(
        trimesh.Trimesh(verts.numpy(), faces.numpy(), process=False), 200_000, seed=1
    )
    return np.asarray(cKDTree(spread).query(points)[0])


@pytest.fixture(scope="module")
def made(body: BodyModel) -> tuple[SkinnedMesh, Tensor, Surface]:
    shape, pose = body.neutral_shape(), bent(body)
    rest = body.rest(shape)
    dressed = clothes(body, rest.verts)
    worn = type(rest)(dressed, rest.T_world_bone)
    posed = body.pose(worn, pose).verts[0]
    surface = points_of(posed, body, bare=("hand", "tongue", "mouth", "eye"))
    return wrapped(body, shape, pose, surface), dressed, surface


def test_the_mesh_is_where_the_clothes_are(
    body: BodyModel, made: tuple[SkinnedMesh, Tensor, Surface]
) -> None:
    mesh, _, surface = made
    rig = mesh.rig(body, body.neutral_shape())
    before = to_surface(surface.points, body.pose(rig.rest, bent(body)).verts[0], body.faces)
    after = to_surface(surface.points, pose_mesh(mesh.verts, rig, bent(body)), mesh.faces)
    assert np.median(before) > 0.009  # there was something to be found
    assert np.median(after) < 0.003 and np.quantile(after, 0.95) < 0.008


def test_it_is_closed(made: tuple[SkinnedMesh, Tensor, Surface]) -> None:
    solid = trimesh.Trimesh(made[0].verts.numpy(), made[0].faces.numpy(), process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    assert 0.06 < solid.volume < 0.11


def test_clothes_go_along_into_another_pose(
    body: BodyModel, made: tuple[SkinnedMesh, Tensor, Surface]
) -> None:
    mesh, dressed, _ = made
    rig = mesh.rig(body, body.neutral_shape())
    pose = body.zero_pose()
    truth = body.pose(type(rig.rest)(dressed, rig.rest.T_world_bone), pose).verts[0]
    torso = (body.part_labels == body.part_names.index("torso")).numpy()
    off = to_surface(truth.numpy()[torso], pose_mesh(mesh.verts, rig, pose), mesh.faces)
    assert np.median(off) < 0.004 and np.quantile(off, 0.9) < 0.012


def test_what_nothing_is_said_of_stays_with_the_body(
    body: BodyModel, made: tuple[SkinnedMesh, Tensor, Surface]
) -> None:
    mesh = made[0]
    rest = body.rest(body.neutral_shape()).verts
    moved = (mesh.verts - mesh.base(body, rest)).norm(dim=-1)
    parts = body.part_labels[body.faces[mesh.binding.faces][:, 0]]
    fingers = parts == body.part_names.index("hand_l")
    torso = parts == body.part_names.index("torso")
    assert float(moved[fingers].median()) < 0.002
    assert float(moved[torso].median()) > 0.012


def test_a_hollow_behind_the_surface_pulls_nothing(
    body: BodyModel, made: tuple[SkinnedMesh, Tensor, Surface]
) -> None:
    """Points that depth supports and no camera sees lie inside."""
    surface = made[2]
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(surface.points))[:6000]
    deeper = surface.points[chosen] - 0.03 * surface.normals[chosen]
    both = Surface(
        0,
        np.full(len(surface.points) + len(chosen), 0.006, np.float32),
        np.concatenate([surface.points, deeper]),
        np.concatenate([surface.normals, surface.normals[chosen]]),
        np.concatenate([surface.colors, surface.colors[chosen]]),
        np.ones(len(surface.points) + len(chosen), bool),
        np.arange(len(surface.points) + len(chosen)) < len(surface.points),
    )
    assert len(SurfaceEvidence(both).points) == len(surface.points)


def ring(count: int) -> list[Cameras]:
    angles = torch.arange(count) * (2 * np.pi / count)
    eyes = torch.stack([2.8 * angles.sin(), torch.full((count,), 1.1), 2.8 * angles.cos()], -1)
    cameras = look_at(eyes, torch.tensor([[0.0, 0.85, 0.0]]).expand(count, 3), 320.0, 320, 400)
    return [cameras[i] for i in range(count)]


def overlap(verts: Tensor, faces: Tensor, mask: np.ndarray, camera: Cameras) -> float:
    drawn = rasterize_mesh(verts, faces, camera).covered[0].numpy()
    return float((drawn & (mask > 0.5)).sum() / (drawn | (mask > 0.5)).sum())


def test_outlines_alone_move_it_a_little(body: BodyModel) -> None:
    shape, pose = body.neutral_shape(), bent(body)
    rest = body.rest(shape)
    worn = type(rest)(clothes(body, rest.verts), rest.T_world_bone)
    posed = body.pose(worn, pose).verts[0]
    cameras = ring(6)
    masks = [rasterize_mesh(posed, body.faces, each).covered[0].float().numpy() for each in cameras]
    evidence = tuple(OutlineEvidence(mask, each) for mask, each in zip(masks, cameras, strict=True))
    mesh = wrap_body(body, shape, [Moment(pose, evidence)], LONGEST)
    found = pose_mesh(mesh.verts, mesh.rig(body, shape), pose)
    bare = body.pose(rest, pose).verts[0]
    before = np.mean([overlap(bare, body.faces, m, c) for m, c in zip(masks, cameras, strict=True)])
    after = np.mean([overlap(found, mesh.faces, m, c) for m, c in zip(masks, cameras, strict=True)])
    # A camera between two of them, that was not asked.
    between = look_at(torch.tensor([[1.4, 1.1, 2.42]]), torch.tensor([[0.0, 0.85, 0.0]]), 320.0, 320, 400)
    unseen = rasterize_mesh(posed, body.faces, between).covered[0].float().numpy()
    assert before < 0.9 < 0.965 < after
    assert overlap(found, mesh.faces, unseen, between) > overlap(bare, body.faces, unseen, between) + 0.03
    assert trimesh.Trimesh(mesh.verts.numpy(), mesh.faces.numpy(), process=False).is_watertight
