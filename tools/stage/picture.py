"""A person as a camera without faults would see them, in linear light, with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from render.camera import Cameras
from render.mesh import MeshRendering, antialias, interpolate, rasterize_mesh, vertex_normals

from .light import Light, irradiance
from .people import Person, Surfaces

# How far light goes round the edge of shadow in skin, by colour (red furthest).
WRAP = np.array([0.35, 0.12, 0.06])
# The share of a hair's light that comes through the hair around it.
THROUGH = 0.45


@dataclass(frozen=True)
class LitScene:
    """One frame of a person under a light, ready to be seen by any camera."""

    person: Person
    surfaces: Surfaces
    normals: Float[Tensor, "v 3"]
    irradiance: Float[Tensor, "v 3"]
    light: Light


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
    return LitScene(
        person, surfaces, normals, irradiance(light, surfaces.verts, normals, surfaces.faces), light
    )


def picture(scene: LitScene, camera: Cameras, after: Surfaces | None = None) -> Truth:
    """What one camera sees.

    Args:
        camera: one, without distortion. after: the person a frame later, for motion.
    """
    surfaces = scene.surfaces
    drawn = rasterize_mesh(surfaces.verts, surfaces.faces, camera)
    covered = drawn.covered[0]
    known = torch.cat([scene.person.origin, scene.normals, scene.irradiance, surfaces.verts], 1)
    values = interpolate(known, surfaces.faces, drawn)[0][covered].numpy().astype(np.float64)
    layer = torch.where(covered, surfaces.layer_of_face[drawn.face_index[0].clamp(min=0)], -1).numpy()
    eye = camera.centers()[0].numpy()
    color, normals, infrared = _shaded(scene, layer[covered.numpy()], values, eye)
    rgb = torch.zeros(*covered.shape, 3)
    rgb[covered] = torch.from_numpy(color.astype(np.float32))
    image = torch.cat([rgb, covered[..., None].float()], -1)[None]
    smooth = antialias(image, surfaces.verts, surfaces.faces, camera, drawn)[0]
    world = np.zeros((*covered.shape, 3), np.float32)
    world[covered.numpy()] = normals
    near_infrared = np.zeros(tuple(covered.shape), np.float32)
    near_infrared[covered.numpy()] = infrared
    return Truth(
        smooth[..., :3].numpy(),
        smooth[..., 3].numpy(),
        drawn.depth[0].numpy(),
        world,
        layer,
        near_infrared,
        _motion(after, surfaces, camera, drawn),
    )


def _motion(
    after: Surfaces | None, surfaces: Surfaces, camera: Cameras, drawn: MeshRendering
) -> Float[np.ndarray, "h w 2"]:
    """Where the surface points under the pixels are seen a frame later, less where they are seen now."""
    if after is None:
        return np.zeros((camera.height, camera.width, 2), np.float32)
    covered = drawn.covered[0]
    then = interpolate(after.verts, surfaces.faces, drawn)[0][covered]
    uv, depth = camera.project(then)
    row, column = covered.nonzero().unbind(1)
    moved = uv[0] - torch.stack([column, row], 1) - 0.5
    motion = torch.zeros(camera.height, camera.width, 2)
    # What has come behind the camera has no place in its picture.
    motion[covered] = torch.where(depth[0, :, None] > 0.01, moved, 0.0)
    return motion.numpy()


def _shaded(
    scene: LitScene, layer: np.ndarray, values: np.ndarray, eye: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    origin, normal, light, place = values[:, :3], values[:, 3:6], values[:, 6:9], values[:, 9:]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    view = eye - place
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    normal = np.where((normal * view).sum(1, keepdims=True) < -0.2, -normal, normal)  # the inside of a sleeve
    color, infrared = np.zeros_like(origin), np.zeros(len(origin))
    strongest = scene.light.directions[scene.light.radiance.sum(1).argmax()].numpy()
    half = view + strongest
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    shine = np.clip((normal * half).sum(1), 0, 1)
    key = light.mean(1)
    ambient = scene.light.radiance.numpy().sum(0) / (4 * np.pi)
    for number, part in enumerate(scene.person.layers):
        here = layer == number
        if not here.any():
            continue
        finish = scene.person.materials[part.material].finish(origin[here].astype(np.float32))
        incoming = light[here]
        if part.material == "skin":
            incoming = incoming + WRAP * 0.25 * incoming.mean(1, keepdims=True)
        if part.material == "hair":
            incoming = (1 - THROUGH) * incoming + THROUGH * ambient
        edge = (1 - np.clip((normal[here] * view[here]).sum(1), 0, 1)) ** 5
        gloss = (
            finish.specular * shine[here] ** finish.sharpness * (finish.sharpness + 8) / 8
            + 0.25 * finish.specular * edge
        )
        infrared[here] = finish.infrared
        color[here] = finish.albedo * incoming + (gloss * key[here])[:, None]
    return color, normal.astype(np.float32), infrared


def visible(truth: Truth) -> Bool[np.ndarray, "h w"]:
    """Pixels that show the person."""
    return truth.layer >= 0
