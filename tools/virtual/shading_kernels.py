"""From triangles to colors: for every pixel that shows a person, its place on the resting body, its material, and
the light that leaves it.

Symbols: ``v`` vertices, ``f`` triangles, ``h w`` image rows and columns.
"""

from __future__ import annotations

import math
from typing import no_type_check

from numba import njit

from simulacra.render.runtime.compiled import kernel_compiler

from . import noise
from .people import material_kernels
from .people.material_kernels import clamp, cloth, eye, hair, shoe, skin

kernel = kernel_compiler(__file__, noise.__file__, material_kernels.__file__)

SKIN, EYES, HAIR, CLOTH, SHOE = range(5)
# Columns of what is known of a vertex.
ORIGIN, TRAITS, NORMAL, LIGHT, TANGENT, KNOWN = 0, 3, 5, 8, 11, 14
# How far light goes round the edge of shadow in skin, by color (red furthest).
WRAP_R, WRAP_G, WRAP_B = 0.09, 0.030, 0.015
# The share of the light from everywhere that comes into sleeves and collars.
INSIDE = 0.45
# The share of a hair's light that comes through the hair around it.
THROUGH = 0.35


@njit(nogil=True)
@no_type_check
def _finish(kind, o, t0, t1, p, face, foot):
    if kind == SKIN:
        return skin(o[0], o[1], o[2], t0, t1, p, face, foot)
    if kind == EYES:
        return eye(o[0], o[1], o[2], p, face, foot)
    if kind == HAIR:
        return hair(o[0], o[1], o[2], t0, t1, p, foot)
    if kind == CLOTH:
        return cloth(o[0], o[1], o[2], t0, t1, p, foot)
    return shoe(o[0], o[1], o[2], t0, t1, p, foot)


@kernel()
@no_type_check
def shade(
    drawn,
    faces,
    layer_of_face,
    known,
    verts,
    kinds,
    numbers,
    face_marks,
    frame,
    start,
    stop,
    image,
    infrared_of,
    normals,
    kind_of,
):
    """Image rows start..stop: ``image`` gets linear rgb and coverage, ``infrared_of`` the albedo at 850 nm.

    Args:
        drawn: triangle, barycentrics and depth of every pixel.
        known: of vertices, see the columns above.
        kinds: of the layers' materials.
        numbers: of the same materials.
        frame: rows are the eye, the way to the strongest light, the light from everywhere, and (metres of surface a
            pixel shows at one metre, 0, 0).
        normals: world.
        kind_of: the layer at every pixel.
    """
    index, barycentrics, depth = drawn
    for row in range(start, stop):
        for column in range(index.shape[1]):
            f = index[row, column]
            if f < 0:
                continue
            i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
            u, v, w = barycentrics[row, column, 0], barycentrics[row, column, 1], barycentrics[row, column, 2]
            layer = layer_of_face[f]
            kind_of[row, column] = layer
            k = known
            o = (
                u * k[i0, 0] + v * k[i1, 0] + w * k[i2, 0],
                u * k[i0, 1] + v * k[i1, 1] + w * k[i2, 1],
                u * k[i0, 2] + v * k[i1, 2] + w * k[i2, 2],
            )
            t0, t1 = u * k[i0, 3] + v * k[i1, 3] + w * k[i2, 3], u * k[i0, 4] + v * k[i1, 4] + w * k[i2, 4]
            nx, ny = u * k[i0, 5] + v * k[i1, 5] + w * k[i2, 5], u * k[i0, 6] + v * k[i1, 6] + w * k[i2, 6]
            nz = u * k[i0, 7] + v * k[i1, 7] + w * k[i2, 7]
            er, eg = u * k[i0, 8] + v * k[i1, 8] + w * k[i2, 8], u * k[i0, 9] + v * k[i1, 9] + w * k[i2, 9]
            eb = u * k[i0, 10] + v * k[i1, 10] + w * k[i2, 10]
            vx = frame[0, 0] - (u * verts[i0, 0] + v * verts[i1, 0] + w * verts[i2, 0])
            vy = frame[0, 1] - (u * verts[i0, 1] + v * verts[i1, 1] + w * verts[i2, 1])
            vz = frame[0, 2] - (u * verts[i0, 2] + v * verts[i1, 2] + w * verts[i2, 2])
            length = 1 / math.sqrt(vx * vx + vy * vy + vz * vz)
            vx, vy, vz = vx * length, vy * length, vz * length
            length = 1 / max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
            nx, ny, nz = nx * length, ny * length, nz * length
            facing = nx * vx + ny * vy + nz * vz
            kind = kinds[layer]
            if facing < -0.2 and kind != HAIR:  # the inside of a sleeve
                nx, ny, nz, facing = -nx, -ny, -nz, -facing
                # What falls on the outside says nothing of the inside.
                er, eg, eb = INSIDE * frame[2, 0], INSIDE * frame[2, 1], INSIDE * frame[2, 2]
            foot = frame[3, 0] * depth[row, column] * (1.0 if kind == HAIR else 1 / max(facing, 0.4))
            r, g, b, specular, sharpness, infrared = _finish(
                kind, o, t0, t1, numbers[layer], face_marks, foot
            )
            key = (er + eg + eb) / 3
            hx, hy, hz = vx + frame[1, 0], vy + frame[1, 1], vz + frame[1, 2]
            length = 1 / max(math.sqrt(hx * hx + hy * hy + hz * hz), 1e-9)
            hx, hy, hz = hx * length, hy * length, hz * length
            shine = clamp(nx * hx + ny * hy + nz * hz, 0.0, 1.0)
            if kind == SKIN:
                er, eg, eb = er + WRAP_R * key, eg + WRAP_G * key, eb + WRAP_B * key
            elif kind == HAIR:
                er = (1 - THROUGH) * er + THROUGH * frame[2, 0]
                eg = (1 - THROUGH) * eg + THROUGH * frame[2, 1]
                eb = (1 - THROUGH) * eb + THROUGH * frame[2, 2]
                tx, ty = (
                    u * k[i0, 11] + v * k[i1, 11] + w * k[i2, 11],
                    u * k[i0, 12] + v * k[i1, 12] + w * k[i2, 12],
                )
                tz = u * k[i0, 13] + v * k[i1, 13] + w * k[i2, 13]
                size = tx * tx + ty * ty + tz * tz
                if size > 1e-6:  # a cylinder's highlight (Kajiya and Kay, 1989)
                    th = (tx * hx + ty * hy + tz * hz) / math.sqrt(size)
                    shine = math.sqrt(max(1 - th * th, 0.0)) * clamp(0.6 + 0.6 * facing, 0.0, 1.0)
            edge = 1 - clamp(facing, 0.0, 1.0)
            gloss = 0.25 * specular * edge * edge * edge * edge * edge
            if specular > 0.02 and shine > 0.3:
                gloss += specular * shine**sharpness * (sharpness + 8) / 8
            tint = 0.5 if kind == HAIR else 0.0
            gloss *= key
            image[row, column, 0] = r * er + gloss * (1 - tint + 3 * tint * r)
            image[row, column, 1] = g * eg + gloss * (1 - tint + 3 * tint * g)
            image[row, column, 2] = b * eb + gloss * (1 - tint + 3 * tint * b)
            image[row, column, 3] = 1.0
            infrared_of[row, column] = infrared
            normals[row, column, 0], normals[row, column, 1], normals[row, column, 2] = nx, ny, nz


@kernel()
@no_type_check
def motion(drawn, faces, verts, after, camera, start, stop, moved):
    """Image rows start..stop: how many pixels, right and down, each surface point goes until ``after``.

    Args:
        camera: rows 0 to 2 world to camera (3 4), row 3 fx fy cx cy.
    """
    index, barycentrics, _ = drawn
    for row in range(start, stop):
        for column in range(index.shape[1]):
            f = index[row, column]
            if f < 0:
                continue
            x, y, z = 0.0, 0.0, 0.0
            for i in range(3):
                vertex, share = faces[f, i], barycentrics[row, column, i]
                x += share * after[vertex, 0]
                y += share * after[vertex, 1]
                z += share * after[vertex, 2]
            cx = camera[0, 0] * x + camera[0, 1] * y + camera[0, 2] * z + camera[0, 3]
            cy = camera[1, 0] * x + camera[1, 1] * y + camera[1, 2] * z + camera[1, 3]
            cz = camera[2, 0] * x + camera[2, 1] * y + camera[2, 2] * z + camera[2, 3]
            if cz > 0.01:  # what has come behind the camera has no place in its picture
                moved[row, column, 0] = camera[3, 0] * cx / cz + camera[3, 2] - (column + 0.5)
                moved[row, column, 1] = camera[3, 1] * cy / cz + camera[3, 3] - (row + 0.5)
