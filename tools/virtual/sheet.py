"""`simulacra stage-people`: a contact sheet of virtual people, to see who would stand in the studio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from simulacra.recon.runs.progress import track
from simulacra.render.body import BodyModel, BodyPose, load_body
from simulacra.render.camera import Cameras, look_at
from simulacra.render.image import linear_to_srgb, write_image

from .light import studio_light
from .people.person import PersonRecipe, VirtualPerson, make_person
from .picture import light_up, picture

BACKDROP = (0.55, 0.30)  # linear grey, at the top and at the bottom
COLUMNS = 4
WIDTH, HEIGHT = 300, 480


def write_sheet(out: Path, count: int, seed: int) -> None:
    """Draws people of consecutive seeds, each whole and their face, and writes them as one picture."""
    pictures = list(track(_pictures(count, seed), "people", count))
    blank = np.ones_like(pictures[0])
    pictures += [blank] * (-len(pictures) % COLUMNS)
    rows = [np.concatenate(pictures[k : k + COLUMNS], 1) for k in range(0, len(pictures), COLUMNS)]
    write_image(out, np.concatenate(rows, 0), quality=80)
    print(f"{out}: people {seed} to {seed + count - 1}")


def _pictures(count: int, seed: int) -> Iterator[Float[np.ndarray, "h w 3"]]:
    body = load_body()
    shade = np.linspace(*BACKDROP, HEIGHT, dtype=np.float32)[:, None, None]
    for number in range(seed, seed + count):
        person = make_person(body, PersonRecipe(seed=number))
        pose = _relaxed_pose(body, number)
        scene = light_up(person, person.posed(pose), studio_light(number))
        parts = []
        for camera in (_body_camera(person), _face_camera(person, pose)):
            seen = picture(scene, camera)
            linear = seen.rgb_linear + (1 - seen.alpha)[..., None] * shade
            parts.append(linear_to_srgb(torch.from_numpy(linear).float().clamp(0, 1)).numpy())
        yield np.concatenate(parts, 1).astype(np.float32)


def _relaxed_pose(body: BodyModel, number: int) -> BodyPose:
    """Arms down, the head a little turned, the face not quite at rest."""
    rng = np.random.default_rng(number)
    pose = body.zero_pose()

    def turn(bone: str, x: float, y: float, z: float) -> None:
        pose.rotations[0, body.bone_names.index(bone)] = torch.tensor([x, y, z])

    for side, sign in (("L", -1.0), ("R", 1.0)):
        turn(f"upperarm01.{side}", float(rng.uniform(-0.1, 0.1)), 0.0, sign * float(rng.uniform(0.35, 0.5)))
        turn(f"lowerarm01.{side}", float(rng.uniform(-0.1, 0.35)), 0.0, 0.0)
    turn(
        "head",
        float(rng.uniform(-0.05, 0.1)),
        float(rng.uniform(-0.25, 0.25)),
        float(rng.uniform(-0.06, 0.06)),
    )
    turn("spine02", 0.0, float(rng.uniform(-0.12, 0.12)), 0.0)
    smile, brows = float(rng.uniform(0, 0.5)), float(rng.uniform(0, 0.3))
    for action, strength in (("mouthSmileLeft", smile), ("mouthSmileRight", smile), ("browInnerUp", brows)):
        pose.expression[0, body.expression_names.index(action)] = strength
    return pose


def _height(person: VirtualPerson) -> float:
    return float(person.rest.verts[:, 1].max())


def _body_camera(person: VirtualPerson) -> Cameras:
    """Children look smaller than adults, but not by all of it."""
    tall = _height(person)
    shown = max(0.55 * tall + 0.75, tall)
    at = torch.tensor([[0.0, 0.5 * shown, 0.0]])
    return look_at(at + torch.tensor([[0.55, 0.1, 3.2]]) * shown, at, 2.9 * HEIGHT, WIDTH, HEIGHT)


def _face_camera(person: VirtualPerson, pose: BodyPose) -> Cameras:
    eyes = person.body.keypoints_at("face478", person.rest, pose)[0, [33, 263]].mean(0)
    at = (eyes - torch.tensor([0.0, 0.03, 0.06]))[None]
    return look_at(at + torch.tensor([[0.22, 0.04, 0.9]]), at, 2.6 * WIDTH, WIDTH, HEIGHT)
