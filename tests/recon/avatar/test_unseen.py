"""What no training view saw: who is marked, in whose colors it is filled, and how it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.avatar.binding import sample_body, spacing
from simulacra.recon.avatar.finished import FinishedAvatar
from simulacra.recon.avatar.guesses import fill_colors, mark_unseen, without_guesses
from simulacra.recon.avatar.initial import body_points, scattered_surfels
from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.record import TrainedResult, load_trained, save_trained
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.runs.files import write_arrays
from simulacra.render.avatar import Avatar, Binding, bring_to_rest, drive, rig_body
from simulacra.render.body import BodyModel
from simulacra.render.camera import Cameras, look_at
from simulacra.render.export.rigged import pack_rigged
from simulacra.render.export.rigged_reader import parse_avatar
from simulacra.render.figure import GaussianFigure
from simulacra.render.gaussians import Gaussians, rgb_from_sh, sh_from_rgb
from simulacra.render.mesh_avatar import MeshAvatar
from simulacra.render.paint import TexturePaint, plain_neural
from simulacra.render.runtime.errors import RunError
from simulacra.render.skinned_mesh import SkinnedMesh
from simulacra.render.unseen import never_seen, seen_triangles, show_unseen, show_unseen_mesh
from simulacra.tools.player.run import rigged_content
from tests.recon.planted_run import planted_finished

WIDTH, HEIGHT = 120, 240


@pytest.fixture(scope="module")
def person(body: BodyModel) -> Person:
    """Standing; the camera in front saw the front of the body, and nothing of the shins and feet."""
    shape = body.neutral_shape()
    verts = body.pose(body.rest(shape), body.zero_pose()).verts[0]
    below = torch.tensor([name.startswith(("shin", "foot")) for name in body.part_names])[body.part_labels]
    seen = ((verts[:, 2] > 0) & ~below).numpy()[None]
    return Person(body, shape, lambda *_: body.zero_pose(), seen)


@pytest.fixture(scope="module")
def whole(person: Person) -> Avatar:
    body = person.body
    with torch.no_grad():
        verts = body.pose(body.rest(person.shape), body.zero_pose()).verts[0]
        binding = sample_body(body, verts, 6000, 0)
        points, normals = body_points(body, verts, binding)
        # Sides and heights have colors of their own.
        colors = (
            torch.stack([points[:, 0] > 0, points[:, 1] > 1.2, points[:, 1] < 0.8], 1).float() * 0.6 + 0.2
        )
        world = scattered_surfels(points, normals, colors, spacing(points))
        rig = rig_body(body, person.shape, binding)
        means, quats = bring_to_rest(rig, body.zero_pose(), world.means, world.quats)
    return Avatar(person.shape, binding, world.replace(means=means, quats=quats))


def camera_in_front(turn: float = 0.0) -> Cameras:
    eye = 3.0 * torch.tensor([[np.sin(turn), 0.0, np.cos(turn)]]) + torch.tensor([[0.0, 1.0, 0.0]])
    return look_at(eye.float(), torch.tensor([[0.0, 0.9, 0.0]]), 330.0, WIDTH, HEIGHT)


def store(folder: Path, views: dict[str, tuple[Cameras, np.ndarray]]) -> ViewStore:
    folder.mkdir()
    for name, (camera, mask) in views.items():
        write_arrays(
            folder / f"{name}_000000.npz",
            rgb=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
            mask=mask,
            K=camera.Ks[0].numpy(),
            viewmat=camera.viewmats[0].numpy(),
        )
    return ViewStore(folder, tuple((0, name) for name in views), ())


def world_of(person: Person, avatar: Avatar) -> Gaussians:
    with torch.no_grad():
        return drive(avatar, rig_body(person.body, avatar.shape, avatar.binding), person.body.zero_pose())


def normals_of(person: Person, avatar: Avatar) -> torch.Tensor:
    verts = person.body.pose(person.body.rest(person.shape), person.body.zero_pose()).verts[0]
    return body_points(person.body, verts, avatar.binding)[1]


def own_mask(person: Person, avatar: Avatar, camera: Cameras) -> np.ndarray:
    drawn = GaussianFigure(world_of(person, avatar)).draw(camera)
    return ((drawn.alpha[0] > 0.5) * 255).to(torch.uint8).numpy()


def plain(avatar: Avatar) -> torch.Tensor:
    return rgb_from_sh(avatar.gaussians.sh[:, :1], avatar.gaussians.means, torch.zeros(1, 3))[0]


def test_cameras_on_one_side_see_that_side(person: Person, whole: Avatar, tmp_path: Path) -> None:
    """What faces two cameras in front is seen by both of them; what looks away by none, and legs are not trained."""
    known, guessed = without_guesses(person, whole)
    assert guessed is not None and len(known) + len(guessed) == len(whole)
    assert (world_of(person, guessed).means[:, 1] < 0.7).all()
    cameras = {"a": camera_in_front(), "b": camera_in_front(0.3)}
    views = store(tmp_path / "v", {n: (c, own_mask(person, known, c)) for n, c in cameras.items()})
    made = mark_unseen(person, known, guessed, views, lambda _, camera: camera)
    assert made.seen_share is not None and len(made) == len(whole)
    share, look = made.seen_share, normals_of(person, made)[:, 2]
    legs = torch.arange(len(made)) >= len(known)
    assert set(share.unique().tolist()) <= {0.0, 0.5, 1.0}
    assert (share[legs] == 0).all() and (share[look < -0.5] == 0).all()
    # Hands hide a little of the hips, chins of necks, and outlines are coarse in so small a picture.
    assert (share[(look > 0.6) & ~legs] == 1).double().mean() > 0.85
    hidden = never_seen(made)
    assert hidden is not None and torch.equal(hidden, share == 0)


def test_what_the_mask_leaves_out_is_not_seen(person: Person, whole: Avatar, tmp_path: Path) -> None:
    """A table before the hips: the mask ends above it."""
    camera = camera_in_front()
    mask = own_mask(person, whole, camera)
    waist = int(camera.project(torch.tensor([[0.0, 1.1, 0.1]]))[0][0, 0, 1])
    mask[waist:] = 0
    views = store(tmp_path / "v", {"a": (camera, mask)})
    made = mark_unseen(person, whole, None, views, lambda _, c: c)
    height = world_of(person, made).means[:, 1]
    assert made.seen_share is not None and (made.seen_share[height < 1.05] == 0).all()
    assert (
        made.seen_share[(height > 1.15) & (normals_of(person, made)[:, 2] > 0.7)] == 1
    ).double().mean() > 0.9


def test_what_is_behind_another_part_is_not_seen(person: Person, whole: Avatar, tmp_path: Path) -> None:
    """A board before the chest hides it, and nothing beside its shadow and blurred rim; the mask cannot tell."""
    board = torch.stack(
        torch.meshgrid(torch.linspace(-0.06, 0.06, 13), torch.linspace(1.1, 1.3, 21), indexing="ij"), -1
    )
    places = torch.cat([board.flatten(0, 1), torch.full((273, 1), 0.3)], 1)
    rig = rig_body(person.body, person.shape, whole.binding[torch.arange(273)])
    plates = scattered_surfels(
        places,
        torch.tensor([[0.0, 0, 1]]).expand(273, 3),
        torch.full((273, 3), 0.5),
        torch.full((273,), 0.01),
    )
    means, quats = bring_to_rest(rig, person.body.zero_pose(), plates.means, plates.quats)
    both = whole.replace(
        binding=Binding.concatenate([whole.binding, whole.binding[torch.arange(273)]]),
        gaussians=Gaussians.concatenate([whole.gaussians, plates.replace(means=means, quats=quats)]),
    )
    camera = camera_in_front()
    views = store(tmp_path / "v", {"a": (camera, own_mask(person, both, camera))})
    made = mark_unseen(person, both, None, views, lambda _, c: c)
    assert made.seen_share is not None
    share, world = made.seen_share[: len(whole)], world_of(person, whole).means
    chest = (world[:, 0].abs() < 0.04) & (world[:, 1] > 1.13) & (world[:, 1] < 1.27) & (world[:, 2] > 0.05)
    beside = (
        (world[:, 0].abs() > 0.105) & (world[:, 0].abs() < 0.14) & (world[:, 1] > 1.13) & (world[:, 1] < 1.27)
    )
    beside &= normals_of(person, whole)[:, 2] > 0.6
    assert chest.sum() > 20 and (share[chest] == 0).all()
    assert beside.sum() > 20 and (share[beside] == 1).double().mean() > 0.9


def test_the_other_side_fills_what_it_can(person: Person, whole: Avatar) -> None:
    """A left arm and hand that nobody saw get the right ones' colors, where they are; not those of the trunk beside."""
    body = person.body
    label = body.part_labels[body.faces[whole.binding.faces][:, 0]]
    left = torch.isin(
        label, torch.tensor([body.part_names.index(f"{p}_l") for p in ("upper_arm", "lower_arm", "hand")])
    )
    colors = torch.full((len(whole), 3), 0.1)
    lengthwise = whole.gaussians.means[:, 1]
    colors[:, 0] = 0.5 + 0.4 * torch.sin(40 * lengthwise)
    share = (~left).float()
    sh = sh_from_rgb(torch.where(left[:, None], torch.ones(3), colors), 1)
    filled = fill_colors(body, body.rest(person.shape).verts, whole.binding, sh, share)
    assert torch.equal(filled[~left], sh[~left])
    found = rgb_from_sh(filled[:, :1], whole.gaussians.means, torch.zeros(1, 3))[0]
    assert (found[left, 1:] - 0.1).abs().max() < 1e-5
    # The bands repeat every 16 cm; the other arm's are a few centimetres of sampling away.
    assert (found[left, 0] - colors[left, 0]).abs().median() < 0.06


def test_hardly_seen_parts_are_of_one_color_on_both_sides(person: Person, whole: Avatar) -> None:
    """Of the legs a rim of one thigh was seen, black; they become as the trunk mostly is, and both sides alike. A hand
    is skin: it takes the face's color.
    """
    body = person.body
    label = body.part_labels[body.faces[whole.binding.faces][:, 0]]
    names = np.asarray(body.part_names)[label.numpy()]
    legs = torch.from_numpy(np.isin([n[:-2] for n in names], ["thigh", "shin", "foot"]))
    hands = torch.from_numpy(np.char.startswith(names, "hand"))
    colors = torch.full((len(whole), 3), 0.4)
    colors[torch.from_numpy(names == "face")] = torch.tensor([0.8, 0.6, 0.5])
    rim = (names == "thigh_l").nonzero()[0][:5]
    colors[rim] = 0.0
    share = (~legs & ~hands).float()
    share[rim] = 0.02
    filled = fill_colors(body, body.rest(person.shape).verts, whole.binding, sh_from_rgb(colors), share)
    found = rgb_from_sh(filled, whole.gaussians.means, torch.zeros(1, 3))[0]
    unseen = share == 0
    beyond = legs & unseen
    # But for what lies exactly over there from the rim.
    assert (found[beyond] - 0.4).abs().amax(1).le(1e-5).double().mean() > 0.95
    assert (found[hands] - torch.tensor([0.8, 0.6, 0.5])).abs().max() < 1e-5


def test_all_or_nothing_seen_stays_as_it_is(person: Person, whole: Avatar) -> None:
    verts = person.body.rest(person.shape).verts
    for share in (torch.zeros(len(whole)), torch.ones(len(whole))):
        same = fill_colors(person.body, verts, whole.binding, whole.gaussians.sh, share)
        assert torch.equal(same, whole.gaussians.sh)


def test_unseen_is_kept_gray_or_left_out(body: BodyModel) -> None:
    finished = planted_finished(body)
    count = len(finished.avatar)
    share = torch.where(torch.arange(count) % 3 == 0, 0.0, 0.25)
    marked = replace(finished, avatar=finished.avatar.replace(seen_share=share))
    assert marked.showing("keep") is marked
    gray, less = marked.showing("neutral"), marked.showing("drop")
    hidden = share == 0
    assert (plain(gray.avatar)[hidden] == 0.5).all()
    assert torch.equal(gray.avatar.gaussians.sh[~hidden], marked.avatar.gaussians.sh[~hidden])
    assert len(less.avatar) == int((~hidden).sum())
    pose = finished.fit.pose_of(1)
    torch.testing.assert_close(less.posed(pose).means, marked.posed(pose).means[~hidden])
    assert less.avatar.seen_share is not None and (less.avatar.seen_share == 0.25).all()


def test_who_does_not_know_says_so(body: BodyModel) -> None:
    finished = planted_finished(body)
    with pytest.raises(RunError, match="does not say what was seen"):
        finished.showing("drop")
    nothing = replace(finished, avatar=finished.avatar.replace(seen_share=torch.zeros(len(finished.avatar))))
    with pytest.raises(RunError, match="nothing of this person was seen"):
        nothing.showing("drop")
    assert show_unseen(finished.avatar, "neutral") is finished.avatar


def test_shares_are_kept_in_the_record(body: BodyModel, tmp_path: Path) -> None:
    avatar = planted_finished(body).avatar
    share = torch.rand(len(avatar), generator=torch.Generator().manual_seed(1))
    save_trained(tmp_path, TrainedResult(avatar.replace(seen_share=share)))
    back = load_trained(tmp_path).avatar
    assert back is not None and back.seen is None
    assert back.seen_share is not None and torch.equal(back.seen_share, share)
    save_trained(tmp_path, TrainedResult(avatar.replace(seen_share=share[:3])))
    with pytest.raises(RunError, match="share of views"):
        load_trained(tmp_path)


@pytest.mark.parametrize("neural", [False, True])
def test_a_mesh_is_gray_or_open_where_nobody_saw_it(body: BodyModel, neural: bool, tmp_path: Path) -> None:
    """Seen above the navel only, and red: below it becomes gray, or nothing."""
    shape, rest = body.neutral_shape(), body.rest(body.neutral_shape())
    corner = torch.zeros(body.n_verts, dtype=torch.long)
    which = torch.zeros(body.n_verts, dtype=torch.long)
    for k in range(3):
        corner[body.faces[:, k]], which[body.faces[:, k]] = torch.arange(len(body.faces)), k
    binding = Binding(corner, torch.eye(3)[which])
    mesh = SkinnedMesh(binding, rest.verts, body.faces, body.uvs, body.face_uvs)
    picture = torch.tensor([0.8, 0.1, 0.1]).expand(512, 512, 3).contiguous()
    paint = plain_neural(picture, 16, 2, 4, 0) if neural else TexturePaint(picture)
    share = (rest.verts[:, 1] > 1.0).float()
    avatar = MeshAvatar(shape, mesh, paint, seen_share=share)
    save_trained(tmp_path, TrainedResult.of_mesh(avatar))
    back = load_trained(tmp_path).mesh
    assert back is not None and back.seen_share is not None and torch.equal(back.seen_share, share)
    camera, rig, pose = camera_in_front(), avatar.rig(body), body.zero_pose()
    seen = camera.project(torch.tensor([[0.0, 1.2, 0.1], [0.09, 0.7, 0.05]]))[0][0].long()

    def shown(unseen: str) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = show_unseen_mesh(avatar, unseen).pose(rig, pose).draw(camera)  # type: ignore[arg-type]
        return drawn.rgb_premul[0][seen[:, 1], seen[:, 0]], drawn.alpha[0][seen[:, 1], seen[:, 0]]

    with torch.no_grad():
        kept, gray, less = shown("keep"), shown("neutral"), shown("drop")
    red, middle = torch.tensor([0.8, 0.1, 0.1]), torch.full((3,), 0.5)
    torch.testing.assert_close(kept[0], torch.stack([red, red]), atol=0.01, rtol=0)
    torch.testing.assert_close(gray[0], torch.stack([red, middle]), atol=0.01, rtol=0)
    assert less[1].tolist() == [1, 0]
    known = seen_triangles(avatar)
    assert known is not None and len(show_unseen_mesh(avatar, "drop").mesh.faces) == int(known.sum())


def test_the_avatar_file_says_it(body: BodyModel) -> None:
    """In steps of 1/65535; pages have no use for it, and whose writer did not know leaves it out."""
    finished = planted_finished(body)
    share = torch.rand(len(finished.avatar), generator=torch.Generator().manual_seed(2))
    marked = replace(finished, avatar=finished.avatar.replace(seen_share=share))

    def arrays(avatar: FinishedAvatar, binding: bool = True) -> dict[str, np.ndarray]:
        return parse_avatar(
            pack_rigged(rigged_content(avatar, body.zero_pose(), 30.0), binding=binding)
        ).arrays

    found = arrays(marked)
    np.testing.assert_allclose(found["gaussians.seen"], share.numpy(), atol=1e-5)
    assert "gaussians.seen" not in arrays(finished) and "gaussians.seen" not in arrays(marked, False)
