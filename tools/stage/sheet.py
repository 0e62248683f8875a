"""`simulacra stage-people`: a contact sheet of virtual people, to see who would stand on the stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from recon.progress import track
from render.body import load_body
from render.camera import Cameras, look_at
from render.image import linear_to_srgb, write_image

from .light import studio
from .people import Person, PersonRecipe, make_person
from .picture import light_up, picture

BACKDROP = 0.42  # linear grey
COLUMNS = 4
WIDTH, HEIGHT = 300, 480


def write_sheet(out: Path, count: int, seed: int) -> None:
    """Draws people of consecutive seeds, each whole and their face, and writes them as one picture."""
    pictures = list(track(_pictures(count, seed), "people", count))
    blank = np.ones_like(pictures[0])
    pictures += [blank] * (-len(pictures) % COLUMNS)
    rows = [np.concatenate(pictures[k : k + COLUMNS], 1) for k in range(0, len(pictures), COLUMNS)]
    write_image(out, np.concatenate(rows, 0))
    print(f"{out}: people {seed} to {seed + count - 1}")


def _pictures(count: int, seed: int) -> Iterator[Float[np.ndarray, "h w 3"]]:
    body = load_body()
    for number in range(seed, seed + count):
        person = make_person(body, PersonRecipe(seed=number))
        scene = light_up(person, person.posed(body.zero_pose()), studio(number))
        parts = []
        for camera in (_whole(person), _face(person)):
            seen = picture(scene, camera)
            linear = seen.rgb_linear + (1 - seen.alpha)[..., None] * BACKDROP
            parts.append(linear_to_srgb(torch.from_numpy(linear).float().clamp(0, 1)).numpy())
        yield np.concatenate(parts, 1).astype(np.float32)


def _height(person: Person) -> float:
    return float(person.rest.verts[:, 1].max())


def _whole(person: Person) -> Cameras:
    tall = _height(person)
    at = torch.tensor([[0.0, 0.5 * tall, 0.0]])
    return look_at(at + torch.tensor([[0.55, 0.1, 3.2]]) * tall, at, 2.9 * HEIGHT, WIDTH, HEIGHT)


def _face(person: Person) -> Cameras:
    eyes = person.body.keypoints_at("face478", person.rest, person.body.zero_pose())[0, [33, 263]].mean(0)
    at = (eyes - torch.tensor([0.0, 0.03, 0.06]))[None]
    return look_at(at + torch.tensor([[0.22, 0.04, 0.9]]), at, 2.6 * WIDTH, WIDTH, HEIGHT)
