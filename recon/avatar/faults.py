"""What is wrong with an avatar of Gaussians, counted: spikes, floaters, cracks, and backs that show through.

A clean tiling of a surface has none. Limits are in the sizes and distances of a Gaussian's neighbours, so that they
are the same for coarse and fine avatars.

Symbols: ``n`` Gaussians, ``m`` of them solid, ``k`` neighbours, ``h w`` rows and columns of a view.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.ndimage import binary_fill_holes
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from simulacra.render.camera import Cameras
from simulacra.render.gaussians import OUTLINE_EPS2D, Gaussians, rasterize_features
from simulacra.render.rotation import quat_to_matrix

# Less opaque ones are not looked at: nobody sees them.
LEAST_OPACITY = 0.2
NEIGHBOURS = 16
# A spike is so many times as long as its neighbours' upper quarter, or reaches out of their plane as far as so many
# times that.
LONGER, HIGHER = 4.0, 1.5
# Gaussians hang together over so many times the usual distance of neighbours; what hangs together with less than this
# share of all, and not with the rest, floats.
LINK, LEAST_CLUSTER = 4.0, 0.005
# One that is attached floats too where it is so many times the neighbours' distance off their plane, and so many times
# as far as they are themselves.
OFF, SPREAD = 3.0, 4.0
# Normals whose mean is at least so long make a plane.
AGREE = 0.7
# A pixel is covered from this alpha on; the inside of a person is opaque from that one on.
COVERED, OPAQUE = 0.5, 0.9
# This far from the outline, pixels, Gaussians are seen from the side and end: not looked at for what shows through.
RIM_PX = 3
# A pixel of which backs make up more than this shows what is behind.
MOST_BACK = 0.3


@dataclass(frozen=True)
class Faults:
    """Counts, and shares of the person's pixels 0..1.

    Attributes:
        spikes: Gaussians that are far longer than their neighbours, or stick out.
        floaters: Gaussians that hang off the surface, alone or together.
        floater_clusters: how many groups they are.
        cracks: share of pixels inside of the silhouette that nothing covers, in training views.
        cracks_at_rest: the same in views from all round of the person at rest; None without a body.
        see_through: share of pixels well inside that are not opaque, or show backs, in training views.
        see_through_at_rest: the same at rest; None likewise.
    """

    spikes: int
    floaters: int
    floater_clusters: int
    cracks: float
    see_through: float
    cracks_at_rest: float | None = None
    see_through_at_rest: float | None = None

    def as_json(self) -> dict[str, float | int | None]:
        """For the account of a training."""
        return asdict(self)


@dataclass(frozen=True)
class Sight:
    """Gaussians as one camera sees them.

    Attributes:
        gaussians: in the world.
        camera: a batch of one.
        inside: pixels that are surely of the person.
    """

    gaussians: Gaussians
    camera: Cameras
    inside: Bool[np.ndarray, "h w"]


def find_faults(rest: Gaussians, views: Iterable[Sight], views_at_rest: Iterable[Sight] = ()) -> Faults:
    """All counts.

    Args:
        rest: where distances are measured.
        views: of the training.
        views_at_rest: from all round.
    """
    around = look_around(rest)
    spikes, floaters = find_spikes(rest, around), find_floaters(rest, around)
    cracks, see_through = count_pixels(views)
    at_rest = list(views_at_rest)
    known = count_pixels(at_rest) if at_rest else (None, None)
    return Faults(
        int(spikes.sum()),
        int((floaters >= 0).sum()),
        int(floaters.max(initial=-1) + 1),
        cracks,
        see_through,
        *known,
    )


def find_spikes(gaussians: Gaussians, around: Surroundings | None = None) -> Bool[np.ndarray, " n"]:
    """Which Gaussians are far longer than those around, or stick out of the surface that those are.

    Args:
        around: as `look_around` has it; looked for if None.
    """
    found = np.zeros(len(gaussians), bool)
    around = around or look_around(gaussians)
    if around is None:
        return found
    longest = around.scales.max(1)
    usual = np.quantile(longest[around.near], 0.75, axis=1)
    axes = np.einsum("mij,mi->mj", around.axes, around.plane)
    height = np.sqrt(((axes * around.scales) ** 2).sum(1))
    found[around.rows] = (longest > LONGER * usual) | ((height > HIGHER * usual) & around.flat)
    return found


def find_floaters(gaussians: Gaussians, around: Surroundings | None = None) -> Int[np.ndarray, " n"]:
    """For each Gaussian the number of the floating cluster that it is of; -1 for those that do not float.

    Args:
        around: as `look_around` has it; looked for if None.
    """
    found = np.full(len(gaussians), -1)
    around = around or look_around(gaussians)
    if around is None:
        return found
    count = len(around.places)
    first = np.repeat(np.arange(count), NEIGHBOURS)
    linked = around.distances.ravel() < LINK * np.quantile(around.apart, 0.9)
    ends = first[linked], around.near.ravel()[linked]
    graph = sparse.coo_matrix((np.ones(len(ends[0]), bool), ends), (count, count))
    _, group = connected_components(graph, directed=False)
    small = np.bincount(group) < max(2, LEAST_CLUSTER * count)
    floats = small[group]
    offset = np.einsum("mj,mkj->mk", around.plane, around.places[around.near] - around.places[:, None])
    off = np.abs(np.median(offset, 1))
    spread = np.abs(offset - np.median(offset, 1, keepdims=True)).mean(1)
    usual = around.apart[around.near].mean(1)
    alone = around.flat & (off > OFF * usual) & (off > SPREAD * spread) & ~floats
    # Those that are attached are a cluster each.
    group[alone] = group.max() + 1 + np.arange(alone.sum())
    floats |= alone
    found[around.rows[floats]] = np.unique(group[floats], return_inverse=True)[1]
    return found


@dataclass(frozen=True)
class Surroundings:
    """The solid Gaussians and what is around each.

    Attributes:
        rows: of all Gaussians.
        places: centres, metres.
        scales: standard deviations, metres.
        axes: of each, in columns.
        near: rows of these, the nearest first.
        distances: to them, metres.
        plane: the mean direction of the neighbours' normals.
        flat: whether those agree.
    """

    rows: Int[np.ndarray, " m"]
    places: Float[np.ndarray, "m 3"]
    scales: Float[np.ndarray, "m 3"]
    axes: Float[np.ndarray, "m 3 3"]
    near: Int[np.ndarray, "m k"]
    distances: Float[np.ndarray, "m k"]
    plane: Float[np.ndarray, "m 3"]
    flat: Bool[np.ndarray, " m"]

    @property
    def apart(self) -> Float[np.ndarray, " m"]:
        """Mean distance to the nearest three, metres."""
        nearest: np.ndarray = self.distances[:, :3].mean(1)
        return nearest


def look_around(gaussians: Gaussians) -> Surroundings | None:
    """What is around each solid Gaussian; None where there are too few."""
    solid = torch.sigmoid(gaussians.logit_opacities.detach()) > LEAST_OPACITY
    some = gaussians[solid]
    if len(some) <= NEIGHBOURS:
        return None
    places = some.means.detach().double().numpy()
    distances, near = cKDTree(places).query(places, k=NEIGHBOURS + 1)
    axes = quat_to_matrix(some.quats.detach()).double().numpy()
    mean = axes[:, :, 2][near[:, 1:]].mean(1)
    length = np.linalg.norm(mean, axis=1)
    return Surroundings(
        solid.nonzero().squeeze(-1).numpy(),
        places,
        some.log_scales.detach().double().exp().numpy(),
        axes,
        near[:, 1:],
        distances[:, 1:],
        mean / np.maximum(length, 1e-9)[:, None],
        length > AGREE,
    )


def count_pixels(views: Iterable[Sight]) -> tuple[float, float]:
    """Shares of the person's pixels that are cracks, and that show through, over all views together."""
    cracks = through = total = inner = 0
    for view in views:
        alpha, back = draw_backs(view.gaussians, view.camera)
        crack, seen, well_inside = look_inside(alpha, back, view.inside)
        cracks, total = cracks + int(crack.sum()), total + int(((alpha > COVERED) | crack).sum())
        through, inner = through + int(seen.sum()), inner + int(well_inside.sum())
    return cracks / max(total, 1), through / max(inner, 1)


def draw_backs(
    gaussians: Gaussians, camera: Cameras
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Coverage, and the share of each pixel's color that is of Gaussians which look away from the camera."""
    with torch.no_grad():
        normals = quat_to_matrix(gaussians.quats)[:, :, 2]
        away = ((gaussians.means - camera.centers()) * normals).sum(-1) > 0
        drawn = rasterize_features(gaussians, away.to(normals.dtype)[:, None], camera, eps2d=OUTLINE_EPS2D)
    alpha = drawn.alpha[0]
    return alpha.numpy(), (drawn.features_premul[0, :, :, 0] / alpha.clamp(min=1e-6)).numpy()


def look_inside(
    alpha: Float[np.ndarray, "h w"], back: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Cracks, pixels that show through, and those that were looked at for it.

    A crack is a hole in the coverage: an opening to the outside is none, and a gap between arm and trunk is not inside.
    """
    covered = alpha > COVERED
    whole = binary_fill_holes(covered)
    cracks = whole & ~covered & inside
    window = np.ones((2 * RIM_PX + 1,) * 2, np.uint8)
    inner = (cv2.erode((covered | cracks).astype(np.uint8), window, borderValue=0) > 0) & inside
    return cracks, inner & ~cracks & ((alpha < OPAQUE) | (back > MOST_BACK)), inner
