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
from simulacra.recon.fit.seen import LEAST_SHARE, gaussian_views, part_views
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
SKIN = ("hand_l", "hand_r", "face", "ear_l", "ear_r")


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


def join_guesses(known: Avatar, guessed: Avatar | None) -> Avatar:
    """Both in one, as `without_guesses` takes them apart again."""
    if guessed is None:
        return known
    return known.replace(
        binding=Binding.concatenate([known.binding, guessed.binding]),
        gaussians=Gaussians.concatenate([known.gaussians, guessed.gaussians]),
    )


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
        whole = join_guesses(trained, guessed)
        binding, gaussians = whole.binding, whole.gaussians
        share = torch.cat([share, share.new_zeros(len(whole) - len(trained))])
        sh = fill_colors(body, rig.rest.verts, binding, gaussians.sh, share)
    seen = None if person.seen is None else gaussian_views(body, binding, person.seen)
    return Avatar(trained.shape, binding, gaussians.replace(sh=sh), seen, share)


def fill_colors(
    body: BodyModel,
    rest_verts: Float[Tensor, "v 3"],
    binding: Binding,
    sh: Float[Tensor, "n k 3"],
    share: Float[Tensor, "n"],
) -> Float[Tensor, "n k 3"]:
    """The spherical harmonics, those of unseen Gaussians filled: the same from every direction.

    Args:
        rest_verts: the body at rest, whose sides are each other's mirror.
        binding: where each Gaussian hangs.
        share: of the views that saw each: 0 for those that are filled. A color counts by how often it was seen.
    """
    seen = share > 0
    if bool(seen.all()) or not bool(seen.any()):
        return sh
    places, looks = _hung(body, rest_verts, binding)
    mirrored, mirrored_looks = _hung(body, rest_verts, binding, body.mirror_vertices)
    filled = (0.5 + SH_C0 * sh[:, 0]).clamp(min=0)
    parts = _both_sides(body)[body.part_labels[body.faces[binding.faces][:, 0]]]
    tree = cKDTree(_oriented(places, looks, parts)[seen.numpy()])
    asked = _oriented(mirrored, mirrored_looks, parts)[(~seen).numpy()]
    near, reached = _nearest(tree, asked, ALIKE, MIRROR_M)
    found = reached[:, 0]
    left = (~seen).nonzero().squeeze(-1)
    filled[left[found]] = _mean(filled[seen], share[seen], near[found], reached[found])
    # Both sides in one place: what is nearest on either side is near.
    folded = torch.cat([places[:, :1].abs(), places[:, 1:]], 1).double().numpy()
    _from_parts(body, parts, folded, filled, share, left[~found])
    made = sh.clone()
    made[left] = sh_from_rgb(filled[left], round(sh.shape[1] ** 0.5) - 1)
    return made


def _from_parts(
    body: BodyModel,
    parts: Int[Tensor, "n"],
    places: Float[np.ndarray, "n 3"],
    filled: Float[Tensor, "n 3"],
    share: Float[Tensor, "n"],
    rows: Int[Tensor, "m"],
) -> None:
    """Fills the rows from the nearest seen ones of their part on either side; what was hardly seen of all, in the
    middle color of other skin where it is skin, else of the known part that begins nearest.
    """
    seen = share > 0
    skin = torch.tensor([name in SKIN for name in body.part_names])
    known = {part for part in parts.unique().tolist() if seen[parts == part].double().mean() >= LEAST_SHARE}
    of_known = seen & torch.isin(parts, torch.tensor(sorted(known), dtype=parts.dtype))
    if not bool(of_known.any()):
        of_known = seen
    for part in parts[rows].unique().tolist():
        own = rows[parts[rows] == part]
        if part in known:
            source = seen & (parts == part)
            near, reached = _nearest(cKDTree(places[source.numpy()]), places[own.numpy()], NEAREST, np.inf)
            filled[own] = _mean(filled[source], share[source], near, reached)
            continue
        source = of_known & skin[parts] if bool(skin[part]) else of_known
        source = source if bool(source.any()) else of_known
        apart, first = cKDTree(places[source.numpy()]).query(places[own.numpy()])
        beside = parts[source][int(first[apart.argmin()])]
        filled[own] = filled[source & (parts == beside)].median(0).values


def _both_sides(body: BodyModel) -> Int[Tensor, "p"]:
    """For each part the first of its name, whatever its side."""
    names = [name.removesuffix("_l").removesuffix("_r") for name in body.part_names]
    return torch.tensor([names.index(name) for name in names])


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


def _oriented(
    places: Float[Tensor, "n 3"], looks: Float[Tensor, "n 3"], parts: Int[Tensor, "n"]
) -> Float[np.ndarray, "n 7"]:
    """Places apart by where they are, by where they look, and far apart if they are of different parts."""
    return torch.cat([places, OPPOSITE_M / 2 * looks, parts[:, None].to(places.dtype)], 1).double().numpy()


def _nearest(
    tree: cKDTree, places: Float[np.ndarray, "m d"], count: int, reach: float
) -> tuple[Int[Tensor, "m k"], Bool[Tensor, "m k"]]:
    """Rows of the nearest, the first the nearest, and which of them are within reach."""
    apart, near = tree.query(places, k=min(count, tree.n), distance_upper_bound=reach)
    reached = torch.from_numpy(np.isfinite(apart).reshape(len(places), -1))
    return torch.where(reached, torch.from_numpy(near.reshape(len(places), -1)), 0), reached


def _mean(
    colors: Float[Tensor, "s 3"],
    share: Float[Tensor, "s"],
    near: Int[Tensor, "m k"],
    reached: Bool[Tensor, "m k"],
) -> Float[Tensor, "m 3"]:
    """Mean colors of the rows that were reached, by how often they were seen."""
    weight = (share[near] * reached)[..., None]
    return (colors[near] * weight).sum(1) / weight.sum(1)
