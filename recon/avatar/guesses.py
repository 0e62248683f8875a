"""Colors of what nobody saw: of the symmetric place on the body where that was seen, else of the same part, else of
what is likely to be alike.

A hand in nobody's sight is a hand: its skin is that of the other hand or of the face. Trousers that nobody saw are
taken for more of what is nearest. All of it is a guess and marked as such (`Avatar.seen_share`).

Symbols: ``n`` Gaussians, ``f`` faces of the body, ``v`` its vertices, ``c`` cameras.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from simulacra.recon.avatar.placement import Person
from simulacra.recon.avatar.views import ViewStore
from simulacra.recon.avatar.visibility import Corrected, Posed, seen_share
from simulacra.recon.fit.seen import gaussian_views, part_views
from simulacra.render.avatar import Avatar, Binding, drive, rig_body
from simulacra.render.body.model import BodyModel
from simulacra.render.figure import GaussianFigure
from simulacra.render.gaussians import Gaussians, sh_from_rgb
from simulacra.render.gaussians.spherical_harmonics import SH_C0
from simulacra.render.mesh import face_normals
from simulacra.render.rotation import quat_to_matrix

# As far from the mirrored place a seen Gaussian may hang, metres: a centimetre or two is what people's sides differ by.
MIRROR_M = 0.02
# A place that looks the other way counts as this much further, metres: the palm is not the back of the hand.
OPPOSITE_M = 0.05
# So many of the nearest are averaged: at the symmetric place, and elsewhere, where texture that is dragged along would
# look like streaks.
ALIKE, NEAREST = 4, 32
# Parts of bare skin: what was not seen of one is taken from another, wherever it is.
SKIN = ("hand_l", "hand_r", "face", "ear_l", "ear_r", "ear")


def unseen_faces(body: BodyModel, seen: Bool[np.ndarray, "c v"]) -> Bool[Tensor, "f"]:
    """Faces of the body on parts of which no camera saw a tenth."""
    unknown = {part for part, count in part_views(body, seen).items() if count == 0}
    labels = torch.tensor([name in unknown for name in body.part_names])
    return labels[body.part_labels[body.faces]].all(1)


def without_guesses(person: Person, avatar: Avatar) -> tuple[Avatar, Avatar | None]:
    """The avatar without what hangs on parts that no camera ever saw, and that as an avatar of its own.

    Such parts are not trained: all that photographs say of them is what hides them. A desk is no trousers.
    """
    if person.seen is None:
        return avatar, None
    unknown = unseen_faces(person.body, person.seen)[avatar.binding.faces]
    if not bool(unknown.any()) or bool(unknown.all()):
        return avatar, None
    known, guessed = (
        avatar.replace(binding=avatar.binding[rows], gaussians=avatar.gaussians[rows])
        for rows in (~unknown, unknown)
    )
    return known, guessed


def mark_unseen(
    person: Person, trained: Avatar, guessed: Avatar | None, views: ViewStore, corrected: Corrected
) -> Avatar:
    """The trained avatar and what was left out of its training, with what was seen of each, and colors for the rest.

    Args:
        guessed: as `without_guesses` gave it.
        views: of the training.
        corrected: a camera as the training has it.
    """
    body = person.body
    with torch.no_grad():
        rig = rig_body(body, trained.shape, trained.binding)

        def posed_in(frame: int, camera: str) -> Posed:
            world = drive(trained, rig, person.pose_of(frame, camera))
            return Posed(GaussianFigure(world), world.means, quat_to_matrix(world.quats)[:, :, 2])

        share = seen_share(views, posed_in, corrected)
        binding, gaussians = trained.binding, trained.gaussians
        if guessed is not None:
            plain = _at_degree(guessed.gaussians.sh, gaussians.sh.shape[1])
            share = torch.cat([share, share.new_zeros(len(guessed))])
            binding = Binding.concatenate([binding, guessed.binding])
            gaussians = Gaussians.concatenate([gaussians, guessed.gaussians.replace(sh=plain)])
        sh = fill_colors(body, rig.rest.verts, binding, gaussians.sh, share > 0)
    seen = None if person.seen is None else gaussian_views(body, binding, person.seen)
    return Avatar(trained.shape, binding, gaussians.replace(sh=sh), seen, share)


def _at_degree(sh: Float[Tensor, "n k 3"], coefficients: int) -> Float[Tensor, "n l 3"]:
    """With so many coefficients, the further ones zero."""
    return torch.cat([sh, sh.new_zeros(len(sh), coefficients - sh.shape[1], 3)], 1)


def fill_colors(
    body: BodyModel,
    rest_verts: Float[Tensor, "v 3"],
    binding: Binding,
    sh: Float[Tensor, "n k 3"],
    seen: Bool[Tensor, "n"],
) -> Float[Tensor, "n k 3"]:
    """The spherical harmonics, those of unseen Gaussians filled: the same from every direction.

    Args:
        rest_verts: the body at rest, whose sides are each other's mirror.
        binding: where each Gaussian hangs.
    """
    if bool(seen.all()) or not bool(seen.any()):
        return sh
    places, looks = _hung(body, rest_verts, binding)
    mirrored, mirrored_looks = _hung(body, rest_verts, binding, body.mirror_vertices)
    known = _oriented(places, looks)[seen]
    colors = _plain(sh[seen])
    filled = _plain(sh)
    left = ~seen
    # The symmetric place.
    tree = cKDTree(known)
    apart, near = _query(tree, _oriented(mirrored, mirrored_looks)[left], ALIKE, MIRROR_M)
    found = apart[:, 0] <= MIRROR_M
    filled[left] = torch.where(
        torch.from_numpy(found)[:, None], _mean(colors, near, apart <= MIRROR_M), filled[left]
    )
    rows = left.nonzero().squeeze(-1)[torch.from_numpy(~found)]
    parts = body.part_labels[body.faces[binding.faces][:, 0]]
    _from_parts(body, parts, places, filled, seen, rows)
    made = sh.clone()
    made[left] = sh_from_rgb(filled[left], round(sh.shape[1] ** 0.5) - 1)
    return made


def _from_parts(
    body: BodyModel,
    parts: Int[Tensor, "n"],
    places: Float[Tensor, "n 3"],
    filled: Float[Tensor, "n 3"],
    seen: Bool[Tensor, "n"],
    rows: Int[Tensor, "m"],
) -> None:
    """Fills the rows from the nearest seen ones of their part, of other skin for skin, else of the whole person."""
    skin = torch.tensor([name in SKIN for name in body.part_names])
    for part in parts[rows].unique().tolist():
        own = rows[parts[rows] == part]
        source = seen & (parts == part)
        if not bool(source.any()) and bool(skin[part]):
            source = seen & skin[parts]
        if not bool(source.any()):
            source = seen
        apart, near = _query(cKDTree(places[source].numpy()), places[own].numpy(), NEAREST, np.inf)
        filled[own] = _mean(filled[source], near, np.isfinite(apart))


def _hung(
    body: BodyModel,
    verts: Float[Tensor, "v 3"],
    binding: Binding,
    moved: Int[Tensor, "v"] | None = None,
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Where Gaussians hang, and the unit normals of the faces there; on the other side with the mirrored vertices."""
    faces = body.faces[binding.faces]
    # A mirror turns triangles inside out.
    faces = faces if moved is None else moved[faces]
    places = (verts[faces] * binding.barycentrics[..., None]).sum(1)
    looks = torch.nn.functional.normalize(face_normals(verts, faces), dim=-1)
    return places, looks if moved is None else -looks


def _oriented(places: Float[Tensor, "n 3"], looks: Float[Tensor, "n 3"]) -> Float[np.ndarray, "n 6"]:
    return torch.cat([places, OPPOSITE_M / 2 * looks], 1).double().numpy()


def _plain(sh: Float[Tensor, "n k 3"]) -> Float[Tensor, "n 3"]:
    """The color in the mean over all directions."""
    return (0.5 + SH_C0 * sh[:, 0]).clamp(min=0)


def _query(
    tree: cKDTree, places: Float[np.ndarray, "m d"], count: int, reach: float
) -> tuple[Float[np.ndarray, "m k"], Int[np.ndarray, "m k"]]:
    """Distances and rows of the nearest, infinite where there are no more of them within reach."""
    apart, near = tree.query(places, k=min(count, tree.n), distance_upper_bound=reach)
    return apart.reshape(len(places), -1), near.reshape(len(places), -1)


def _mean(
    colors: Float[Tensor, "s 3"], near: Int[np.ndarray, "m k"], used: Bool[np.ndarray, "m k"]
) -> Float[Tensor, "m 3"]:
    rows = torch.from_numpy(np.where(used, near, 0))
    weight = torch.from_numpy(used).to(colors.dtype)[..., None]
    return (colors[rows] * weight).sum(1) / weight.sum(1).clamp(min=1)
