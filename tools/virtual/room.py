"""The room around a virtual person: a floor, a round wall with panels, a ceiling. All of it is known exactly.

Rays meet the surfaces in closed form; nothing is sampled. The person's shadow on the floor is soft and made of where
the feet and the hips are: what the wide lamps of a studio leave of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval
from jaxtyping import Float, Int

from simulacra.recon.runs.configuration import config
from simulacra.recon.runs.ranges import Share
from simulacra.render.runtime.errors import ConfigError

from .rig import VirtualCamera
from .room_kernels import CEILING, FLOOR, WALL, before_room, draw_room

__all__ = ["CEILING", "FLOOR", "WALL", "RoomConfig", "RoomView", "look_at_room"]

# Radius (metres) and depth of the shadows under a foot and under the body.
FOOT_SHADOW, BODY_SHADOW = (0.13, 0.45), (0.42, 0.30)


Albedo = tuple[Share, Share, Share]


@config
class RoomConfig:
    """The surroundings.

    Attributes:
        radius: of the round wall, metres; cameras stand inside.
        height: of the ceiling.
        wall: its mean albedo, linear.
        floor: its mean albedo, linear.
        texture: how much wall and floor vary, 0 for plain paint.
        panels: boards on the wall, all around; 0 for none.
    """

    radius: Annotated[float, Interval(ge=0.5, le=1000)] = 4.0
    height: Annotated[float, Interval(ge=0.5, le=1000)] = 3.0
    wall: Albedo = (0.42, 0.43, 0.44)
    floor: Albedo = (0.24, 0.22, 0.20)
    texture: Annotated[float, Interval(ge=0, le=10)] = 1.0
    panels: Annotated[int, Interval(ge=0, le=1000)] = 9


@dataclass(frozen=True)
class RoomView:
    """What a camera sees of an empty room.

    Attributes:
        depth: z, metres.
        normals: world, unit.
        infrared: albedo at 850 nm.
        floor_xz: where on the floor plan a pixel is, metres.
        surface: `FLOOR`, `WALL` or `CEILING`.
    """

    rgb_linear: Float[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    infrared: Float[np.ndarray, "h w"]
    floor_xz: Float[np.ndarray, "h w 2"]
    surface: Int[np.ndarray, "h w"]

    def behind(
        self,
        rgb_linear: Float[np.ndarray, "h w 3"],
        alpha: Float[np.ndarray, "h w"],
        feet: Float[np.ndarray, "n 3"],
        hips: Float[np.ndarray, "3"],
    ) -> Float[np.ndarray, "h w 3"]:
        """A person (premultiplied) before the room, and their shadow on its floor.

        Args:
            feet: where they stand, world, metres: the higher a foot, the wider and paler its shadow.
            hips: the middle of the body's shadow, likewise.
        """
        shadows = []
        for (x, y, z), radius, depth in [
            *((foot, *FOOT_SHADOW) for foot in feet),
            (hips * [1, 0, 1], *BODY_SHADOW),
        ]:
            wider = radius + 0.5 * max(float(y), 0.0)
            shadows.append((x, z, 1 / (2 * wider * wider), depth * (radius / wider) ** 2))
        out = np.empty_like(self.rgb_linear)
        before_room(
            np.ascontiguousarray(rgb_linear),
            np.ascontiguousarray(alpha),
            self.rgb_linear,
            self.floor_xz,
            self.surface,
            np.array(shadows, np.float32),
            out,
        )
        return out


def look_at_room(
    room: RoomConfig, camera: VirtualCamera, light: Float[np.ndarray, "3"], seed: int
) -> RoomView:
    """The empty room as one camera sees it.

    Args:
        light: what a white wall would send back, linear rgb.

    Raises:
        ConfigError: the camera stands outside of the room.
    """
    center = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
    _check_inside(room, camera.name, center)
    shape = camera.height, camera.width
    # A room is closed, so every pixel is written; of normals only what is not zero.
    seen = RoomView(
        np.empty((*shape, 3), np.float32),
        np.empty(shape, np.float32),
        np.zeros((*shape, 3), np.float32),
        np.empty(shape, np.float32),
        np.empty((*shape, 2), np.float32),
        np.empty(shape, np.int8),
    )
    offset, panels = _panels(room, seed)
    draw_room(
        center,
        np.ascontiguousarray(camera.viewmat[:3, :3]),
        camera.K,
        (room.radius, room.height),
        room.wall,
        room.floor,
        room.texture,
        offset,
        panels,
        light,
        seed,
        seen.rgb_linear,
        seen.depth,
        seen.normals,
        seen.infrared,
        seen.floor_xz,
        seen.surface,
    )
    return seen


def _check_inside(room: RoomConfig, name: str, center: Float[np.ndarray, "3"]) -> None:
    if np.hypot(center[0], center[2]) > room.radius - 0.05 or not 0.02 < center[1] < room.height - 0.02:
        raise ConfigError(
            "A camera stands outside of the room",
            where=f"room, camera {name}",
            expected=f"within {room.radius} m of the middle and under {room.height} m",
            found=", ".join(f"{value:.2f}" for value in center),
            remedy="make the room larger: --room.radius, --room.height",
        )


def _panels(room: RoomConfig, seed: int) -> tuple[float, Float[np.ndarray, "p 6"]]:
    """Where the boards begin around the wall, and half width, low, high and color of each."""
    rng = np.random.default_rng(seed)
    count = room.panels
    offset = float(rng.uniform(0, 2 * np.pi))
    tones = np.asarray(room.wall) * rng.uniform(0.35, 1.5, (count, 1)) * rng.uniform(0.75, 1.25, (count, 3))
    sizes = [rng.uniform(0.12, 0.3, count), rng.uniform(0.2, 1.0, count), rng.uniform(1.5, 2.4, count)]
    return offset, np.concatenate([np.stack(sizes, 1), np.clip(tones, 0.02, 0.9)], 1)
