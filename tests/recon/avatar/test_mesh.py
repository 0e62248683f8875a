"""A mesh avatar of a planted capture: trained, kept, read back, continued, drawn, exported."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from simulacra.recon.avatar.finished import open_avatar
from simulacra.recon.avatar.losses import LossWeights, SurfacePrior, offset_regularity
from simulacra.recon.avatar.mesh_record import MESH_RECORD, load_mesh, save_mesh
from simulacra.recon.avatar.mesh_trainee import learn_inside, ring
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.record import ACCOUNT, TrainedResult, load_trained, save_trained
from simulacra.recon.avatar.settings import MeshConfig, MeshRates, NeuralTextureConfig
from simulacra.recon.avatar.train import train_avatar
from simulacra.recon.evaluate.reconstruction import render_posed
from simulacra.recon.export_run import textured_person
from simulacra.recon.fit import save_fit
from simulacra.recon.pipeline import ReconstructionConfig
from simulacra.recon.refine import wrapping
from simulacra.recon.refine.subdivide import subdivide_body
from simulacra.recon.runs.configuration import changed_config, load_config
from simulacra.recon.runs.run_folder import open_run
from simulacra.recon.runs.stages import run_stage
from simulacra.recon.session import Session
from simulacra.render.avatar import drive, rig_body
from simulacra.render.body import BodyModel
from simulacra.render.camera import look_at
from simulacra.render.export.gltf_person import person_glb_bytes
from simulacra.render.gaussians import OUTLINE_EPS2D, rasterize_gaussians
from simulacra.render.mesh_avatar import MeshAvatar, MeshDrawing, mesh_gaussians
from simulacra.render.paint import NeuralPaint, TexturePaint, plain_neural
from simulacra.render.runtime.errors import RunError
from simulacra.tools.commands.configurations import brought_configs
from tests.recon.planted_capture import NAMES, planted_avatar, planted_fit, planted_session

SETTINGS = MeshConfig(
    kind="mesh",
    steps=12,
    longest_side=96,
    edge_mm=120.0,
    texture=64,
    checkpoint_every=4,
    mesh_rates=MeshRates(texture=0.03),
)


@pytest.fixture(scope="module", autouse=True)
def few_rounds() -> Iterator[None]:
    """How well the mesh is wrapped is another test's matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wrapping, "COARSE", wrapping.COARSE[-1:])
        patch.setattr(wrapping, "FINE", wrapping.FINE[-1:])
        yield


@pytest.fixture(scope="module")
def session(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Session:
    root = tmp_path_factory.mktemp("capture") / "session"
    root.mkdir()
    return planted_session(root, body, planted_avatar(body))


def person(body: BodyModel) -> Person:
    avatar = planted_avatar(body)
    fit = planted_fit(body, avatar)
    return Person(body, avatar.shape, fit.pose_of)


def trained(folder: Path, body: BodyModel, session: Session, settings=SETTINGS) -> TrainedResult:
    return train_avatar(folder, session, person(body), None, session.mask, (0, 1), NAMES, settings)


@pytest.fixture(scope="module")
def made(
    body: BodyModel, session: Session, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, MeshAvatar]:
    folder = tmp_path_factory.mktemp("avatar")
    result = trained(folder, body, session)
    assert result.mesh is not None
    return folder, result.mesh


def plain(body: BodyModel, texture: Tensor) -> MeshAvatar:
    shape = body.neutral_shape()
    return MeshAvatar(shape, subdivide_body(body, body.rest(shape).verts, 0.06), TexturePaint(texture))


def front(size: int = 160) -> object:
    eye, target = torch.tensor([[0.0, 1.0, 3.2]]), torch.tensor([[0.0, 0.85, 0.0]])
    return look_at(eye, target, 1.4 * size, size, size)


def test_training_lowers_what_it_pays_for_and_the_mesh_stays_closed(
    made: tuple[Path, MeshAvatar], body: BodyModel
) -> None:
    folder, mesh = made
    with np.load(folder / "losses.npz") as losses:
        assert losses["total"][6:].mean() < 0.97 * losses["total"][:6].mean()  # of the same six views
        assert {"l1", "ssim", "mask", "regularity"} <= set(losses.files)
    solid = trimesh.Trimesh(mesh.mesh.verts.numpy(), mesh.mesh.faces.numpy(), process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    account = json.loads((folder / ACCOUNT).read_text())
    assert account["vertices"] == len(mesh.mesh) and "gaussians" not in account
    assert not (folder / "first_mesh").exists()


def test_it_is_read_back_bit_for_bit(made: tuple[Path, MeshAvatar]) -> None:
    folder, mesh = made
    back = load_trained(folder)
    assert back.mesh is not None and back.avatar is not None and back.free is None
    assert torch.equal(back.mesh.mesh.verts, mesh.mesh.verts)
    assert torch.equal(back.mesh.paint.tensors()["texture"], mesh.paint.tensors()["texture"])
    assert torch.equal(back.avatar.binding.faces, mesh.mesh.binding.faces)


def test_a_body_that_is_not_wrapped_keeps_its_shape_and_is_painted(
    body: BodyModel, session: Session, tmp_path: Path, made: tuple[Path, MeshAvatar]
) -> None:
    """What the parametric model alone gives: the fitted surface to the last bit, in the photographs' colors."""
    settings = load_config(
        ReconstructionConfig, brought_configs()["baselines/body_only"],
        {"avatar.steps": "12", "avatar.longest_side": "96", "avatar.edge_mm": "120", "avatar.texture": "64"},
    ).avatar  # fmt: skip
    result = trained(tmp_path, body, session, settings)
    assert result.mesh is not None
    skin = subdivide_body(body, body.rest(person(body).shape).verts, 0.12)
    assert torch.equal(result.mesh.mesh.verts, skin.verts)
    assert not torch.equal(made[1].mesh.verts, skin.verts)  # which wrapping and training move
    fit = planted_fit(body, planted_avatar(body))
    colored = result.mesh.pose(result.mesh.rig(body), fit.pose_of(0))
    drawn = colored.draw(session.cameras_as_tensors("a"))
    photograph, mask = torch.from_numpy(session.image(0, "a")), session.mask(0, "a")
    both = (drawn.alpha[0] > 0.99) & torch.from_numpy(np.asarray(mask) > 0.5)
    error, grey = ((rgb - photograph)[both].abs().mean() for rgb in (drawn.rgb_premul[0], torch.tensor(0.5)))
    assert float(error) < 0.7 * float(grey)


def test_a_damaged_record_is_refused(made: tuple[Path, MeshAvatar], tmp_path: Path) -> None:
    mesh = made[1].mesh
    broken = made[1].replace(mesh=mesh.replace(faces=mesh.faces + len(mesh)))
    save_mesh(tmp_path, broken)
    with pytest.raises(RunError):
        load_mesh(tmp_path)
    (tmp_path / MESH_RECORD).write_bytes(b"PK")
    with pytest.raises(RunError):
        load_mesh(tmp_path)


class Stopped(Exception):
    """A power cut."""


def test_an_interrupted_training_ends_with_the_same_bits(
    made: tuple[Path, MeshAvatar],
    body: BodyModel,
    session: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from simulacra.recon.avatar import loop

    step, done = loop.step, []

    def cut(*arguments):  # type: ignore[no-untyped-def]
        if len(done) == 6:
            raise Stopped
        done.append(1)
        return step(*arguments)

    monkeypatch.setattr(loop, "step", cut)
    with pytest.raises(Stopped):
        trained(tmp_path, body, session)
    assert (tmp_path / "checkpoint.npz").is_file()
    monkeypatch.setattr(loop, "step", step)
    again = trained(tmp_path, body, session).mesh
    assert again is not None
    assert torch.equal(again.mesh.verts, made[1].mesh.verts)
    assert torch.equal(again.paint.tensors()["texture"], made[1].paint.tensors()["texture"])


def test_a_drawing_shows_the_texture_over_nothing(body: BodyModel) -> None:
    red = torch.tensor([0.8, 0.1, 0.2]).expand(32, 32, 3).clone()
    avatar = plain(body, red)
    drawn = avatar.pose(avatar.rig(body), body.zero_pose()).draw(front())
    inside = drawn.alpha[0] > 0.999
    assert 0.03 < float(inside.float().mean()) < 0.5
    torch.testing.assert_close(
        drawn.rgb_premul[0][inside], red[0, 0].expand(int(inside.sum()), 3), atol=1e-4, rtol=0
    )
    rim = (drawn.alpha[0] > 0.02) & (drawn.alpha[0] < 0.98)
    assert int(rim.sum()) > 100  # outlines are smooth
    torch.testing.assert_close(
        drawn.rgb_premul[0][rim], drawn.alpha[0][rim][:, None] * red[0, 0], atol=1e-4, rtol=0
    )
    depth = drawn.depth[0][inside] / drawn.alpha[0][inside]
    assert 2.8 < float(depth.median()) < 3.3


def test_outlines_have_gradients(body: BodyModel) -> None:
    """To grow in all directions is to cover more."""
    avatar = plain(body, torch.full((8, 8, 3), 0.5))
    rig, verts = avatar.rig(body), avatar.mesh.verts.clone().requires_grad_()
    moved = avatar.replace(mesh=avatar.mesh.replace(verts=verts))
    moved.pose(rig, body.zero_pose()).draw(front()).alpha.sum().backward()
    assert verts.grad is not None
    middle = avatar.mesh.verts.mean(0)
    assert float((verts.grad * (avatar.mesh.verts - middle))[:, 0].sum()) > 0


def test_gaussians_of_a_mesh_look_like_it(body: BodyModel) -> None:
    texture = torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 0)
    avatar = plain(body, texture.repeat_interleave(8, 1))
    avatar = avatar.replace(mesh=subdivide_body(body, body.rest(avatar.shape).verts, 0.015))
    drawn = avatar.pose(avatar.rig(body), body.zero_pose()).draw(front(480))
    gaussians = mesh_gaussians(avatar)
    rig = rig_body(body, gaussians.shape, gaussians.binding)
    splats = rasterize_gaussians(drive(gaussians, rig, body.zero_pose()), front(480), eps2d=OUTLINE_EPS2D)
    ours, theirs = drawn.alpha[0] > 0.5, splats.alpha[0] > 0.5
    assert float((ours & theirs).sum() / (ours | theirs).sum()) > 0.93
    both = ours & theirs
    assert float((drawn.rgb_premul[0] - splats.rgb_premul[0])[both].abs().median()) < 0.05


def test_a_neural_texture_begins_as_its_picture_and_learns_the_direction(
    body: BodyModel, session: Session, tmp_path: Path
) -> None:
    texture = torch.full((32, 32, 3), 0.4)
    avatar = plain(body, texture)
    rig, pose = avatar.rig(body), body.zero_pose()
    neural = avatar.replace(paint=plain_neural(texture, 16, 4, 8, seed=0))
    before = neural.pose(rig, pose).draw(front())
    torch.testing.assert_close(before.rgb_premul, avatar.pose(rig, pose).draw(front()).rgb_premul)
    settings = NeuralTextureConfig(
        kind="neural_texture",
        steps=8,
        longest_side=96,
        edge_mm=120.0,
        texture=64,
        feature_texels=16,
        hidden=8,
    )
    result = trained(tmp_path, body, session, settings)
    assert result.mesh is not None and isinstance(result.mesh.paint, NeuralPaint)
    assert bool(result.mesh.paint.w2.any())
    back = load_mesh(tmp_path)
    assert torch.equal(back.paint.tensors()["features"], result.mesh.paint.features)


def test_evaluation_draws_the_mesh_and_not_its_gaussians(
    made: tuple[Path, MeshAvatar], body: BodyModel, session: Session
) -> None:
    fit = planted_fit(body, planted_avatar(body))
    result = TrainedResult.of_mesh(made[1])
    rgb, alpha, depth = render_posed(session, result, body, fit)(0, "a", 96, 96)
    drawn = made[1].pose(made[1].rig(body), fit.pose_of(0, "a")).draw(session.cameras_as_tensors("a"))
    assert torch.equal(rgb, drawn.rgb_premul[0])
    assert torch.equal(alpha, drawn.alpha[0]) and torch.equal(depth, drawn.depth[0])


def test_a_run_of_a_mesh_is_opened_posed_and_exported(
    made: tuple[Path, MeshAvatar], body: BodyModel, tmp_path: Path
) -> None:
    opened = open_run(tmp_path, "abc")
    said = {"version": 1, "config": {}, "load": lambda _: None}
    fit = planted_fit(body, planted_avatar(body))
    digest = run_stage(opened, "fit", compute=lambda at: save_fit(fit, at), inputs={}, **said)[1].digest
    result = TrainedResult.of_mesh(made[1])
    run_stage(opened, "avatar", compute=lambda at: save_trained(at, result), inputs={"fit": digest}, **said)
    avatar = open_avatar(tmp_path)
    assert avatar.mesh is not None
    figure = avatar.figure(fit.pose_of(1))
    assert torch.equal(figure.points, made[1].pose(avatar.rig, fit.pose_of(1)).verts)
    of_file = textured_person(tmp_path, avatar, 64)
    # The same skin moves it in other programs.
    posed = of_file.body.pose(of_file.rest, fit.pose_of(1)).verts[0]
    torch.testing.assert_close(posed, figure.points, atol=2e-5, rtol=0)
    content = person_glb_bytes(of_file, fit.pose)
    length = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + length])
    primitive = document["meshes"][0]["primitives"][0]
    assert document["accessors"][primitive["indices"]]["count"] == made[1].mesh.faces.numel()
    assert len(document["images"]) == 1


def test_six_neighbours_are_of_the_ring_around(body: BodyModel) -> None:
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    near = ring(faces, 4)
    assert near.shape == (4, 6)
    for vertex in range(4):
        assert set(near[vertex].tolist()) == set(range(4)) - {vertex}
    # A whole moved alike costs what staying costs, and nothing for being uneven.
    anchors = torch.rand(4, 3)
    weights = LossWeights(smooth=1.0, stay=0.0)
    assert float(offset_regularity(anchors + 0.01, SurfacePrior(anchors, near, 1.0), weights)) < 1e-8
    uneven = anchors + 0.01 * torch.eye(4)[:, :3]
    assert float(offset_regularity(uneven, SurfacePrior(anchors, near, 1.0), weights)) > 0.1


def test_the_old_name_of_gaussians_is_read(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text("avatar:\n  kind: avatar\n  steps: 7\n")
    for read in (
        load_config(ReconstructionConfig, old),
        load_config(ReconstructionConfig, None, {"avatar.kind": "avatar", "avatar.steps": "7"}),
        changed_config(ReconstructionConfig(), {"avatar": {"kind": "avatar", "steps": 7}}, "a test"),
    ):
        assert read.avatar.kind == "gaussians" and read.avatar.steps == 7
    mesh = load_config(ReconstructionConfig, None, {"avatar.kind": "mesh", "avatar.edge_mm": "7"})
    assert isinstance(mesh.avatar, MeshConfig) and mesh.avatar.edge_mm == 7


def test_paint_does_not_learn_what_is_behind_the_person() -> None:
    rgb = torch.full((1, 4, 4, 3), 0.5, requires_grad=True)
    mask = torch.zeros(4, 4)
    mask[1:3, 1:3] = 1
    drawn = learn_inside(MeshDrawing(rgb, torch.ones(1, 4, 4), torch.ones(1, 4, 4)), mask)
    torch.testing.assert_close(drawn.rgb_premul, rgb)
    drawn.rgb_premul.sum().backward()
    assert rgb.grad is not None
    assert torch.equal(rgb.grad[0, ..., 0], mask)


def test_paint_stays_where_little_is_seen(body: BodyModel, session: Session, tmp_path: Path) -> None:
    """Without what holds it, texels that views barely touch go as far as those that they see."""
    textures = []
    for weight in (0.0, 1e4):
        folder = tmp_path / f"{weight:g}"
        result = trained(folder, body, session, dataclasses.replace(SETTINGS, paint_stays=weight))
        assert result.mesh is not None
        textures.append(result.mesh.paint.tensors()["texture"])
    first = trained(
        tmp_path / "first", body, session, dataclasses.replace(SETTINGS, steps=1, paint_stays=1e6)
    )
    assert first.mesh is not None
    free, held = ((each - first.mesh.paint.tensors()["texture"]).abs().mean() for each in textures)
    assert float(free) > 1.5 * float(held)
