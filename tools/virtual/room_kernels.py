"""Compiled pixels of the room: where a ray ends, what is there, and what the person's shadow leaves of its light."""

from __future__ import annotations

import math
from typing import no_type_check

from simulacra.render.runtime.compiled import njit

from .noise import noise_at

FLOOR, WALL, CEILING = 0, 1, 2
INFRARED_FLOOR, INFRARED_WALL, INFRARED_CEILING = 0.45, 0.62, 0.70
GRAIN = 0.12  # metres, the largest blotches of plaster and of boards
ROUGH = 0.07  # how much they vary
OCTAVES = 2


@njit(nogil=True, cache=True)
@no_type_check
def draw_room(
    center,
    rotation,
    K,
    size,
    wall,
    floor,
    texture,
    offset,
    panels,
    light,
    seed,
    rgb,
    depth,
    normals,
    infrared,
    floor_xz,
    surface,
):
    """Fills what a camera sees of a room.

    `size`: radius and height. `panels`: half width (share of a panel's place), low, high, and color of each.
    """
    radius, tall = size
    for row in range(depth.shape[0]):
        v = (row + 0.5 - K[1, 2]) / K[1, 1]
        for column in range(depth.shape[1]):
            u = (column + 0.5 - K[0, 2]) / K[0, 0]
            dx = u * rotation[0, 0] + v * rotation[1, 0] + rotation[2, 0]
            dy = u * rotation[0, 1] + v * rotation[1, 1] + rotation[2, 1]
            dz = u * rotation[0, 2] + v * rotation[1, 2] + rotation[2, 2]
            a = dx * dx + dz * dz
            t, what = 1e9, WALL
            if a > 1e-12:
                b = dx * center[0] + dz * center[2]
                c = center[0] * center[0] + center[2] * center[2] - radius * radius
                t = (-b + math.sqrt(b * b - a * c)) / a
            if dy < 0 and -center[1] / dy < t:
                t, what = -center[1] / dy, FLOOR
            elif dy > 0 and (tall - center[1]) / dy < t:
                t, what = (tall - center[1]) / dy, CEILING
            x, y, z = center[0] + t * dx, center[1] + t * dy, center[2] + t * dz
            depth[row, column] = t
            surface[row, column] = what
            floor_xz[row, column, 0] = x
            floor_xz[row, column, 1] = z
            footprint = t / K[0, 0]
            if what == FLOOR:
                normals[row, column, 1] = 1.0
                cosine = abs(dy) / math.sqrt(a + dy * dy)
                level = 0.95 - 0.35 * (x * x + z * z) / (radius * radius)
                # Boards run along z; seen flat, a pixel is as long as the ray is slanted.
                grain = noise_at(x, y, 0.2 * z, seed + 1, OCTAVES, GRAIN, footprint / max(0.3, cosine))
                shade, base = 1.0, INFRARED_FLOOR
                red, green, blue = floor
            elif what == CEILING:
                normals[row, column, 1] = -1.0
                level, grain, shade, base = (
                    0.5,
                    noise_at(x, y, z, seed + 1, OCTAVES, GRAIN, footprint),
                    1.15,
                    INFRARED_CEILING,
                )
                red, green, blue = wall
            else:
                normals[row, column, 0] = -x / radius
                normals[row, column, 2] = -z / radius
                level, shade, base = 0.55 + 0.35 * y / tall, 1.0, INFRARED_WALL
                grain = noise_at(x, y, z, seed + 1, OCTAVES, GRAIN, footprint)
                red, green, blue = wall
                if len(panels):
                    place = ((math.atan2(x, z) + offset) / (2 * math.pi)) % 1.0 * len(panels)
                    k = min(int(place), len(panels) - 1)
                    inside = abs(place - k - 0.5) < panels[k, 0]
                    if inside and panels[k, 1] < y < panels[k, 2]:
                        red, green, blue = panels[k, 3], panels[k, 4], panels[k, 5]
                        grain *= 0.3
            rough = shade * (1 + ROUGH * texture * grain)
            red = min(max(red * rough, 0.005), 0.95)
            green = min(max(green * rough, 0.005), 0.95)
            blue = min(max(blue * rough, 0.005), 0.95)
            rgb[row, column, 0] = red * level * light[0]
            rgb[row, column, 1] = green * level * light[1]
            rgb[row, column, 2] = blue * level * light[2]
            infrared[row, column] = base * (0.85 + 0.1 * (red + green + blue))


@njit(nogil=True, cache=True)
@no_type_check
def before_room(rgb_linear, alpha, room, floor_xz, surface, shadows, out):
    """A premultiplied person over the room, whose floor they shade.

    `shadows`: x, z, one over twice the squared radius, and depth of each.
    """
    for row in range(alpha.shape[0]):
        for column in range(alpha.shape[1]):
            left = 1.0 - alpha[row, column]
            if left > 0 and surface[row, column] == FLOOR:
                for k in range(len(shadows)):
                    dx = floor_xz[row, column, 0] - shadows[k, 0]
                    dz = floor_xz[row, column, 1] - shadows[k, 1]
                    spread = (dx * dx + dz * dz) * shadows[k, 2]
                    if spread < 12.0:
                        left *= 1.0 - shadows[k, 3] * math.exp(-spread)
            for c in range(3):
                out[row, column, c] = rgb_linear[row, column, c] + left * room[row, column, c]
