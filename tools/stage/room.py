"""The room around a virtual person: a floor, a round wall with panels, a ceiling. All of it is known exactly.

Rays meet the surfaces in closed form; nothing is sampled. The person's shadow on the floor is soft and made of where
the feet and the hips are: what the wide lamps of a studio leave of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from recon.configuration import config
from render.errors import ConfigError

from .noise import fractal_noise
from .rig import RigCamera

FLOOR, WALL, CEILING = 0, 1, 2
INFRARED = np.array([0.45, 0.62, 0.7])
# Radius (metres) and depth of the shadows under a foot and under the body.
FOOT_SHADOW, BODY_SHADOW = (0.13, 0.45), (0.42, 0.30)


@config
class RoomConfig:
    """The surroundings.

    Attributes:
        radius: of the round wall, metres; cameras stand inside. height: of the ceiling.
        wall, floor: their mean albedo, linear. texture: how much they vary, 0 for plain paint.
        panels: boards on the wall, all around; 0 for none.
    """

    radius: float = 4.0
    height: float = 3.0
    wall: tuple[float, float, float] = (0.42, 0.43, 0.44)
    floor: tuple[float, float, float] = (0.24, 0.22, 0.20)
    texture: float = 1.0
    panels: int = 9


@dataclass(frozen=True)
class RoomView:
    """What a camera sees of an empty room: linear colour, z depth in metres, normals (world), albedo at 850 nm."""

    rgb_linear: Float[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    infrared: Float[np.ndarray, "h w"]
    floor_xz: Float[np.ndarray, "h w 2"]
    surface: Int[np.ndarray, "h w"]

    def with_shadow(
        self, feet: Float[np.ndarray, "n 3"], hips: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "h w 3"]:
        """The colour, darker on the floor around a person who stands there."""
        shade = np.zeros(self.depth.shape, np.float32)
        places = [(foot, *FOOT_SHADOW) for foot in feet] + [(hips, *BODY_SHADOW)]
        on_floor = self.surface == FLOOR
        at = self.floor_xz[on_floor]
        total = np.ones(len(at), np.float32)
        for (x, y, z), radius, depth in places:
            wider = radius + 0.5 * max(float(y), 0.0)
            squared = ((at - np.array([x, z], np.float32)) ** 2).sum(1)
            total *= 1 - depth * (radius / wider) ** 2 * np.exp(-squared / (2 * wider * wider))
        shade[on_floor] = 1 - total
        return self.rgb_linear * (1 - shade)[..., None]


def look_at_room(room: RoomConfig, camera: RigCamera, light: Float[np.ndarray, "3"], seed: int) -> RoomView:
    """The empty room as one camera sees it.

    Args:
        light: what a white wall would send back, linear rgb.

    Raises:
        ConfigError: the camera stands outside of the room.
    """
    center = -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
    if np.hypot(center[0], center[2]) > room.radius - 0.05 or not 0.02 < center[1] < room.height - 0.02:
        raise ConfigError(
            "A camera stands outside of the room",
            where=f"room, camera {camera.name}",
            expected=f"within {room.radius} m of the middle and under {room.height} m",
            found=", ".join(f"{value:.2f}" for value in center),
            remedy="make the room larger: --room.radius, --room.height",
        )
    rays = _rays(camera)
    depth, surface = _hits(room, center, rays)
    points = (center + depth[..., None] * rays).astype(np.float32)
    normals = np.zeros_like(points)
    normals[surface == FLOOR] = [0, 1, 0]
    normals[surface == CEILING] = [0, -1, 0]
    on_wall = surface == WALL
    normals[on_wall] = -points[on_wall] * np.array([1, 0, 1], np.float32) / np.float32(room.radius)
    albedo = _albedo(room, points.reshape(-1, 3), surface.ravel(), seed).reshape(points.shape)
    # A wall gets the most light at the height of the lamps, a floor in the middle of the room.
    height = points[..., 1] / room.height
    off = np.hypot(points[..., 0], points[..., 2]) / room.radius
    level = np.select(
        [surface == FLOOR, surface == WALL], [0.95 - 0.35 * off**2, 0.55 + 0.35 * height], 0.5
    ).astype(np.float32)
    rgb = albedo * level[..., None] * light.astype(np.float32)
    infrared = INFRARED[surface] * (0.85 + 0.3 * np.clip(albedo.mean(-1), 0, 1))
    return RoomView(
        rgb.astype(np.float32),
        depth.astype(np.float32),
        normals,
        infrared.astype(np.float32),
        points[..., [0, 2]],
        surface,
    )


def _rays(camera: RigCamera) -> Float[np.ndarray, "h w 3"]:
    """Directions in the world whose length along the camera's axis is 1."""
    x = (np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]
    y = (np.arange(camera.height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    local = np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], -1)
    return local @ camera.viewmat[:3, :3]


def _hits(
    room: RoomConfig, center: Float[np.ndarray, "3"], rays: Float[np.ndarray, "h w 3"]
) -> tuple[Float[np.ndarray, "h w"], Int[np.ndarray, "h w"]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        up = rays[..., 1]
        floor = np.where(up < 0, -center[1] / up, np.inf)
        ceiling = np.where(up > 0, (room.height - center[1]) / up, np.inf)
        a = rays[..., 0] ** 2 + rays[..., 2] ** 2
        b = rays[..., 0] * center[0] + rays[..., 2] * center[2]
        c = center[0] ** 2 + center[2] ** 2 - room.radius**2
        wall = np.where(a > 1e-12, (-b + np.sqrt(b * b - a * c)) / a, np.inf)
    together = np.stack([floor, wall, ceiling])
    nearest = together.argmin(0)
    return np.take_along_axis(together, nearest[None], 0)[0], nearest


def _albedo(
    room: RoomConfig, points: Float[np.ndarray, "n 3"], surface: Int[np.ndarray, " n"], seed: int
) -> Float[np.ndarray, "n 3"]:
    rng = np.random.default_rng(seed)
    color = np.where((surface == FLOOR)[:, None], room.floor, room.wall).astype(np.float32)
    color[surface == CEILING] = np.asarray(room.wall, np.float32) * 1.15
    around = np.arctan2(points[:, 0], points[:, 2])
    if room.panels:
        width = 2 * np.pi / room.panels
        place = np.mod(around + rng.uniform(0, width), 2 * np.pi)
        which = np.minimum((place / width).astype(int), room.panels - 1)
        inside = np.abs(np.mod(place, width) / width - 0.5) < rng.uniform(0.12, 0.3, room.panels)[which]
        low, high = rng.uniform(0.2, 1.0, room.panels), rng.uniform(1.5, 2.4, room.panels)
        inside &= (points[:, 1] > low[which]) & (points[:, 1] < high[which]) & (surface == WALL)
        tones = (
            np.asarray(room.wall)
            * rng.uniform(0.35, 1.5, (room.panels, 1))
            * rng.uniform(0.75, 1.25, (room.panels, 3))
        )
        color[inside] = np.clip(tones, 0.02, 0.9)[which[inside]]
    if room.texture > 0:
        stretched = points * np.where((surface == FLOOR)[:, None], [1.0, 1.0, 0.2], [1.0, 1.0, 1.0])
        grain = fractal_noise(stretched.astype(np.float32), seed + 1, 3, 0.12)
        color *= (1 + 0.12 * room.texture * grain)[:, None].astype(np.float32)
    return np.clip(color, 0.005, 0.95)
