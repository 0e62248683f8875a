"""A person as a camera without faults would see them, in linear light, with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from render.camera import Cameras
from render.mesh import antialias, rasterize_mesh, vertex_normals
from render.threads import run_ranges, split, thread_count

from . import shading_kernels as kernels
from .light import BIAS, Light, irradiance
from .people import Person, Surfaces

HAIR_BIAS = 0.022  # metres of hair that light goes through
ROWS = 16  # of an image that a thread takes at a time


@dataclass(frozen=True)
class LitScene:
    """One frame of a person under a light, ready to be seen by any camera.

    Attributes:
        known: of every vertex, in the columns that ``shading_kernels.py`` names.
    """

    person: Person
    surfaces: Surfaces
    normals: Float[Tensor, "v 3"]
    irradiance: Float[Tensor, "v 3"]
    light: Light
    known: Float[np.ndarray, "v k"]


@dataclass(frozen=True)
class Truth:
    """What a camera sees, exactly.

    Attributes:
        rgb_linear: over black. alpha: coverage. depth: z in metres, 0 where nothing is. normals: world, unit.
        layer: which of the person's layers, -1 none. infrared: albedo at 850 nm, 0 where nothing is. motion_px: how
            far, right and down, the surface point under the pixel moves until the next frame; zero without one.
    """

    rgb_linear: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    layer: Int[np.ndarray, "h w"]
    infrared: Float[np.ndarray, "h w"]
    motion_px: Float[np.ndarray, "h w 2"]


def light_up(person: Person, surfaces: Surfaces, light: Light) -> LitScene:
    """Shadows and light of one frame: for all cameras at once."""
    normals = vertex_normals(surfaces.verts, surfaces.faces)
    tangents = torch.zeros_like(normals)
    bias = torch.full((len(normals),), BIAS)
    for first, last, ribbons in person.hair_ranges():
        normals[first:last] = _hair_normals(surfaces.verts[first:last], normals[first:last])
        bias[first:last] = HAIR_BIAS
        if ribbons is not None:
            start, places = ribbons
            strands = surfaces.verts[start:last].view(-1, places, 2, 3)
            way = torch.gradient(strands.mean(2), dim=1)[0]
            way = torch.nn.functional.normalize(way, dim=-1)
            tangents[start:last] = way[:, :, None].expand(-1, -1, 2, -1).reshape(-1, 3)
    received = irradiance(light, surfaces.verts, normals, person.casters, bias)
    known = torch.cat([person.origin, person.traits, normals, received, tangents], 1)
    return LitScene(person, surfaces, normals, received, light, known.contiguous().numpy())


def _hair_normals(verts: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Of hair as one soft body: away from its middle, a little as each ribbon faces."""
    middle = (verts.amin(0) + verts.amax(0)) / 2
    middle[1] = verts[:, 1].amax() - 0.13
    out = verts - middle
    out[:, 1] = out[:, 1].clamp(min=0.0)
    out = torch.nn.functional.normalize(out, dim=1)
    facing = torch.where((normals * out).sum(1, keepdim=True) < 0, -normals, normals)
    return torch.nn.functional.normalize(0.75 * out + 0.5 * facing, dim=1)


def picture(scene: LitScene, camera: Cameras, after: Surfaces | None = None) -> Truth:
    """What one camera sees.

    Args:
        camera: one, without distortion. after: the person a frame later, for motion.
    """
    surfaces, person = scene.surfaces, scene.person
    drawn = rasterize_mesh(surfaces.verts, surfaces.faces, camera)
    height, width = camera.height, camera.width
    image = np.zeros((height, width, 5), np.float32)
    normals, layer = np.zeros((height, width, 3), np.float32), np.full((height, width), -1, np.int32)
    kinds, numbers = person.looks
    verts, faces = surfaces.verts.numpy(), person.narrow_faces
    looks = (kinds, numbers, person.face.numbers, _frame(scene, camera))
    arrays = (drawn.face_index[0].int().numpy(), drawn.barycentrics[0].numpy(), drawn.depth[0].numpy())

    def rows(_: int, start: int, stop: int) -> None:
        kernels.shade(
            arrays,
            faces,
            person.narrow_layers,
            scene.known,
            verts,
            *looks,
            start,
            stop,
            image,
            normals,
            layer,
        )

    run_ranges(rows, split(height, -(-height // ROWS)), thread_count())
    flat = torch.from_numpy(np.ascontiguousarray(image[..., :4]))[None]
    smooth = antialias(flat, surfaces.verts, surfaces.faces, camera, drawn, neighbours=person.neighbours)[0]
    return Truth(
        rgb_linear=np.ascontiguousarray(smooth[..., :3].numpy()),
        alpha=np.ascontiguousarray(smooth[..., 3].numpy()),
        depth=arrays[2],
        normals=normals,
        layer=layer,
        infrared=np.ascontiguousarray(image[..., 4]),
        motion_px=_motion(after, surfaces, camera, arrays, faces),
    )


def _frame(scene: LitScene, camera: Cameras) -> Float[np.ndarray, "4 3"]:
    """The eye, the way to the strongest light, the light from everywhere, the size of a pixel at one metre."""
    strongest = scene.light.directions[scene.light.radiance.sum(1).argmax()]
    ambient = scene.light.radiance.sum(0) / (4 * torch.pi)
    pixel = torch.stack([1 / camera.Ks[0, 0, 0], torch.tensor(0.0), torch.tensor(0.0)])
    rows = torch.stack([camera.centers()[0], strongest, ambient, pixel])
    return rows.double().numpy()


def _motion(
    after: Surfaces | None,
    surfaces: Surfaces,
    camera: Cameras,
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
    faces: np.ndarray,
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


def visible(truth: Truth) -> Bool[np.ndarray, "h w"]:
    """Pixels that show the person."""
    return truth.layer >= 0
