"""A person as a camera without faults would see them, in linear light, with everything that is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from simulacra.render.camera import Cameras
from simulacra.render.mesh import antialias, rasterize_mesh, vertex_normals
from simulacra.render.runtime.threads import run_ranges, split, thread_count

from . import light_kernels
from . import shading_kernels as kernels
from .light import BIAS, Light, irradiance
from .people.person import Surfaces, VirtualPerson

HAIR_BIAS = 0.022  # metres of hair that light goes through
CROWN = 0.13  # metres from the top of the hair to the middle that it surrounds
ROWS = 16  # of an image that a thread takes at a time

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]  # triangle, barycentrics and depth of every pixel


@dataclass(frozen=True)
class LitScene:
    """One frame of a person under a light, ready to be seen by any camera.

    Attributes:
        known: of every vertex, in the columns that ``shading_kernels.py`` names.
    """

    person: VirtualPerson
    surfaces: Surfaces
    normals: Float[Tensor, "v 3"]
    irradiance: Float[Tensor, "v 3"]
    light: Light
    known: Float[np.ndarray, "v k"]


@dataclass(frozen=True)
class TruePixels:
    """What a camera sees, exactly.

    Attributes:
        rgb_linear: over black.
        alpha: coverage.
        depth: z in metres, 0 where nothing is.
        normals: world, unit.
        layer: which of the person's layers, -1 none.
        infrared: albedo at 850 nm, 0 where nothing is.
        motion_px: how far, right and down, the surface point under the pixel moves until the next frame; zero without
            one.
    """

    rgb_linear: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    layer: Int[np.ndarray, "h w"]
    infrared: Float[np.ndarray, "h w"]
    motion_px: Float[np.ndarray, "h w 2"]


def light_up(person: VirtualPerson, surfaces: Surfaces, light: Light) -> LitScene:
    """Shadows and light of one frame: for all cameras at once."""
    normals, tangents = _directions(person, surfaces)
    bias = torch.full((len(normals),), BIAS)
    for first, last, _ in person.hair_ranges:
        bias[first:last] = HAIR_BIAS
    received = irradiance(light, surfaces.verts, normals, person.casters, bias)
    return _scene(person, surfaces, normals, tangents, received, light)


def relit(scene: LitScene, surfaces: Surfaces) -> LitScene:
    """The same person a moment away, in the light that was worked out for the scene: surfaces turn, shadows stay."""
    if surfaces is scene.surfaces:
        return scene
    return _scene(scene.person, surfaces, *_directions(scene.person, surfaces), scene.irradiance, scene.light)


def _directions(
    person: VirtualPerson, surfaces: Surfaces
) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "v 3"]]:
    """Normals, those of hair as of the round head that it makes, and where along a ribbon goes."""
    normals = vertex_normals(surfaces.verts, surfaces.faces)
    tangents = torch.zeros_like(normals)
    verts = surfaces.verts.numpy()
    for first, last, ribbons in person.hair_ranges:
        low, high = verts[first:last].min(0), verts[first:last].max(0)
        middle = np.array([(low[0] + high[0]) / 2, high[1] - CROWN, (low[2] + high[2]) / 2])
        light_kernels.hair_normals(verts, normals.numpy(), first, last, middle)
        if ribbons is not None:
            start, places = ribbons
            light_kernels.ribbon_tangents(verts, start, last, places, tangents.numpy())
    return normals, tangents


def _scene(
    person: VirtualPerson,
    surfaces: Surfaces,
    normals: Float[Tensor, "v 3"],
    tangents: Float[Tensor, "v 3"],
    received: Float[Tensor, "v 3"],
    light: Light,
) -> LitScene:
    known = torch.cat([person.origin, person.traits, normals, received, tangents], 1)
    return LitScene(person, surfaces, normals, received, light, known.contiguous().numpy())


def picture(scene: LitScene, camera: Cameras, after: Surfaces | None = None) -> TruePixels:
    """What one camera sees.

    Args:
        camera: one, without distortion.
        after: the person a frame later, for motion.
    """
    surfaces, person = scene.surfaces, scene.person
    drawn = rasterize_mesh(surfaces.verts, surfaces.faces, camera)
    arrays = (drawn.face_index[0].int().numpy(), drawn.barycentrics[0].numpy(), drawn.depth[0].numpy())
    image, infrared, normals, layer = _shade(scene, camera, arrays)
    # Color and coverage are smoothed along outlines; depth, normals and layers stay those of one surface each.
    smooth = antialias(
        torch.from_numpy(image)[None],
        surfaces.verts,
        surfaces.faces,
        camera,
        drawn,
        neighbours=person.neighbours,
    )[0]
    return TruePixels(
        rgb_linear=np.ascontiguousarray(smooth[..., :3].numpy()),
        alpha=np.ascontiguousarray(smooth[..., 3].numpy()),
        depth=arrays[2],
        normals=normals,
        layer=layer,
        infrared=infrared,
        motion_px=_motion(after, surfaces, camera, arrays, person.narrow_faces),
    )


def _shade(scene: LitScene, camera: Cameras, drawn: Drawn) -> tuple[np.ndarray, ...]:
    """Color with coverage (h w 4), infrared (h w), normals (h w 3) and layer (h w) of what is drawn."""
    person = scene.person
    height, width = camera.height, camera.width
    image, infrared = np.zeros((height, width, 4), np.float32), np.zeros((height, width), np.float32)
    normals, layer = np.zeros((height, width, 3), np.float32), np.full((height, width), -1, np.int32)
    verts, looks = scene.surfaces.verts.numpy(), (*person.looks, person.face.numbers, _frame(scene, camera))

    def rows(_: int, start: int, stop: int) -> None:
        kernels.shade(
            drawn,
            person.narrow_faces,
            person.narrow_layers,
            scene.known,
            verts,
            *looks,
            start,
            stop,
            image,
            infrared,
            normals,
            layer,
        )

    run_ranges(rows, split(height, -(-height // ROWS)), thread_count())
    return image, infrared, normals, layer


def _frame(scene: LitScene, camera: Cameras) -> Float[np.ndarray, "4 3"]:
    """The eye, the way to the strongest light, the light from everywhere, the size of a pixel at one metre."""
    strongest = scene.light.directions[scene.light.radiance.sum(1).argmax()]
    ambient = scene.light.radiance.sum(0) / (4 * torch.pi)
    pixel = torch.stack([1 / camera.Ks[0, 0, 0], torch.tensor(0.0), torch.tensor(0.0)])
    rows = torch.stack([camera.centers()[0], strongest, ambient, pixel])
    return rows.double().numpy()


def _motion(
    after: Surfaces | None, surfaces: Surfaces, camera: Cameras, drawn: Drawn, faces: np.ndarray
) -> Float[np.ndarray, "h w 2"]:
    moved = np.zeros((camera.height, camera.width, 2), np.float32)
    if after is not None:
        K, viewmat = camera.Ks[0].double().numpy(), camera.viewmats[0].double().numpy()
        rows = np.concatenate([viewmat[:3], [[K[0, 0], K[1, 1], K[0, 2], K[1, 2]]]])
        verts, later = surfaces.verts.numpy(), after.verts.numpy()

        def some(_: int, start: int, stop: int) -> None:
            kernels.motion(drawn, faces, verts, later, rows, start, stop, moved)

        run_ranges(some, split(camera.height, -(-camera.height // 64)), thread_count())
    return moved


def compose(pictures: Sequence[TruePixels]) -> TruePixels:
    """Several people in one picture, the nearer before the farther at each pixel."""
    found = pictures[0]
    for other in pictures[1:]:
        near = _is_nearer(other, found)
        front, back = _pick(near, other, found), _pick(near, found, other)
        through = 1 - front.alpha
        found = replace(
            _pick(front.depth > 0, front, back),
            rgb_linear=front.rgb_linear + through[..., None] * back.rgb_linear,
            alpha=front.alpha + through * back.alpha,
        )
    return found


def unhidden(pictures: Sequence[TruePixels]) -> TruePixels:
    """What the others leave of the first one, as a picture of that one alone."""
    own = pictures[0]
    for other in pictures[1:]:
        hidden = _is_nearer(other, own)
        left = np.where(hidden, own.alpha * (1 - other.alpha), own.alpha).astype(np.float32)
        gone = hidden & (other.alpha > 0.5)
        own = replace(
            own,
            alpha=left,
            depth=np.where(gone, 0, own.depth).astype(np.float32),
            normals=np.where(gone[..., None], 0, own.normals).astype(np.float32),
            layer=np.where(gone, -1, own.layer).astype(np.int32),
        )
    return own


def _is_nearer(one: TruePixels, other: TruePixels) -> Bool[np.ndarray, "h w"]:
    return (one.depth > 0) & ((other.depth == 0) | (one.depth < other.depth))


def _pick(where: Bool[np.ndarray, "h w"], one: TruePixels, other: TruePixels) -> TruePixels:
    """One picture's pixels here, the other's elsewhere."""

    def chosen(name: str) -> np.ndarray:
        a, b = getattr(one, name), getattr(other, name)
        return np.where(where[..., None] if a.ndim == 3 else where, a, b)

    return TruePixels(**{field.name: chosen(field.name) for field in fields(TruePixels)})


def visible(truth: TruePixels) -> Bool[np.ndarray, "h w"]:
    """Pixels that show the person."""
    return truth.layer >= 0
