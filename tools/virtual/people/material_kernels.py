"""What surfaces look like, compiled: the finish of one place, from where it is on the person at rest.

Every function returns albedo (linear r g b), the highlight's strength and sharpness (Blinn-Phong exponent), and the
albedo at 850 nm. ``p`` are a material's numbers, in the order that ``materials.py`` writes them; ``foot`` is how
many metres of surface a pixel shows: what is finer is left out, or it would flicker.
"""

from __future__ import annotations

import math
from typing import no_type_check

from numba import njit

from ..noise import chance, noise_at

# Places in the array of a face: rings and lines of x y z, then single places. See ``FaceMarks.numbers``.
LIPS, MOUTH, BROW_R, BROW_L, EYE_R, EYE_L, CHEEKS, NOSE, CHIN, LAST = 0, 20, 40, 45, 50, 66, 82, 84, 85, 86
PLAIN, STRIPES, CHECKS, PRINT, DENIM, CHEST, HEATHER = range(7)
SHOE_LEATHER, SHOE_SNEAKER, SHOE_CANVAS = range(3)


@njit(nogil=True)
@no_type_check
def clamp(value, low, high):
    return min(max(value, low), high)


@njit(nogil=True)
@no_type_check
def soft_band(value, period, share, foot):
    """1 within bands that take a share of each period, with edges as soft as a pixel."""
    soft = max(0.0008, foot)
    place = abs(value - period * math.floor(value / period) - period / 2)
    band = clamp((share * period / 2 - place) / soft + 0.5, 0.0, 1.0)
    fine = clamp(0.5 * period / soft - 1.0, 0.0, 1.0)
    return share + fine * (band - share)


@njit(nogil=True)
@no_type_check
def to_line(face, first, last, closed, x, y):
    """Distance in the face's plane to a polyline, how far along it (0 to 1), and whether inside of it."""
    best, where, inside = 1e9, 0.0, False
    count = last - first
    pieces = count if closed else count - 1
    for i in range(pieces):
        a, b = first + i, first + (i + 1) % count
        ax, ay = face[a, 0], face[a, 1]
        ex, ey = face[b, 0] - ax, face[b, 1] - ay
        t = clamp(((x - ax) * ex + (y - ay) * ey) / max(ex * ex + ey * ey, 1e-12), 0.0, 1.0)
        dx, dy = x - ax - t * ex, y - ay - t * ey
        d = dx * dx + dy * dy
        if d < best:
            best, where = d, (i + t) / pieces
        if (ay > y) != (ay + ey > y) and x < ax + (y - ay) * ex / ey:
            inside = not inside
    return math.sqrt(best), where, inside


@njit(nogil=True)
@no_type_check
def skin(x, y, z, hair_share, shade, p, face, foot):
    """Blood under skin, pores, brows, lips, lids; p: tone rgb, hair rgb, melanin, stubble, seed, age, brow, lip."""
    seed, melanin = int(p[8]), p[6]
    r, g, b = p[0], p[1], p[2]
    mottle = noise_at(x, y, z, seed + 1, 3, 0.05, foot)
    r, g, b = r * (1 + 0.07 * mottle), g * (1 + 0.12 * mottle), b * (1 + 0.13 * mottle)
    pores = 1 + 0.06 * noise_at(x, y, z, seed + 2, 2, 0.0024, foot)
    if p[12] > 0:
        freckle = clamp((noise_at(x, y, z, seed + 17, 2, 0.006, foot) - 0.3) / 0.25, 0.0, 1.0) * p[12] * 0.7
        r, g, b = r * (1 - 0.25 * freckle), g * (1 - 0.38 * freckle), b * (1 - 0.42 * freckle)
    r, g, b = r * pores, g * pores, b * pores
    gloss, sharp = 0.034, 10.0
    if z > face[NOSE, 2] - 0.085 and y > face[CHIN, 1] - 0.03:
        r, g, b = _face(x, y, z, r, g, b, p, face, foot)
        gloss, sharp = 0.040, 11.0
    if hair_share > 0:
        grain = noise_at(x, y, z, seed + 6, 2, 0.0025, foot)
        cover = clamp(hair_share * (1 + 0.7 * grain * (1 - hair_share)), 0.0, 1.0)
        r, g, b = r + cover * (p[3] - r), g + cover * (p[4] - g), b + cover * (p[5] - b)
        gloss *= 1 - 0.7 * cover
    dim = 1 - shade
    infrared = clamp(0.57 - 0.05 * melanin + 0.02 * mottle, 0.48, 0.62)
    infrared += hair_share * (0.12 - infrared)
    return r * dim, g * dim, b * dim, gloss, sharp, infrared


@njit(nogil=True)
@no_type_check
def _face(x, y, z, r, g, b, p, face, foot):
    seed, melanin, age = int(p[8]), p[6], p[9]
    blush = 0.0
    for k in range(CHEEKS, CHIN):
        dx, dy, dz = x - face[k, 0], y - face[k, 1], z - face[k, 2]
        reach = 0.024 if k < NOSE else 0.013
        blush += math.exp(-(dx * dx + dy * dy + dz * dz) / (reach * reach))
    blush = min(blush, 1.0) * 0.14 * (1 - 0.6 * melanin)
    g, b = g * (1 - blush), b * (1 - 0.8 * blush)
    soft = max(0.0022, foot)
    tr, tg, tb = p[0], p[1], p[2]
    if p[7] > 0:
        # A beard grows below the cheeks, not on the lips.
        low = clamp((face[LIPS, 1] + 0.012 + 0.25 * abs(x - face[NOSE, 0]) - y) / 0.016, 0.0, 1.0)
        grain = clamp(0.65 + 0.7 * noise_at(x, y, z, seed + 5, 2, 0.0018, foot), 0.0, 1.0)
        # It ends on the throat and before the ears.
        low *= clamp((z - face[NOSE, 2] + 0.080) / 0.02, 0.0, 1.0)
        low *= clamp((y - face[CHIN, 1] + 0.022) / 0.02, 0.0, 1.0)
        beard = p[7] * low * grain
        r, g, b = r + beard * (p[3] - r), g + beard * (p[4] - g), b + beard * (p[5] - b)
    if abs(y - face[LIPS, 1]) < 0.025:
        distance, _, within = to_line(face, LIPS, MOUTH, True, x, y)
        signed = distance if within else -distance
        lip = clamp(0.5 + signed / soft, 0.0, 1.0) * 0.75
        rough = 1 + 0.10 * noise_at(x, 0.25 * y, z, seed + 3, 2, 0.002, foot)
        red = p[11]
        r = r + lip * (tr * (0.88 - 0.06 * red) * rough - r)
        g = g + lip * (tg * (0.62 - 0.24 * red) * rough - g)
        b = b + lip * (tb * (0.64 - 0.20 * red) * rough - b)
        distance, _, within = to_line(face, MOUTH, BROW_R, True, x, y)
        gap = clamp(0.5 + (distance if within else -distance) / max(0.0016, foot), 0.0, 1.0) * 0.8
        r, g, b = r + gap * (0.18 * tr - r), g + gap * (0.10 * tg - g), b + gap * (0.10 * tb - b)
    for side in range(2):
        eye, after = (EYE_R, EYE_L) if side == 0 else (EYE_L, CHEEKS)
        if abs(x - face[eye, 0]) > 0.06 or abs(y - face[eye, 1]) > 0.05:
            continue
        start, end = (BROW_R, BROW_L) if side == 0 else (BROW_L, EYE_R)
        distance, along, _ = to_line(face, start, end, False, x, y)
        width = 1.1 * p[10] * clamp(1.15 - 0.85 * abs(along - 0.60), 0.25, 1.0)
        strokes = clamp(
            0.9 + 0.7 * noise_at(x + 0.6 * y, 0.3 * y, 0.3 * z, seed + 4, 2, 0.0017, foot), 0.0, 1.0
        )
        brow = clamp((width - distance) / max(0.0028, foot), 0.0, 1.0) * strokes * 0.92
        r, g, b = r + brow * (p[3] - r), g + brow * (p[4] - g), b + brow * (p[5] - b)
        distance, along, within = to_line(face, eye, after, True, x, y)
        upper = clamp((y - face[eye, 1] + 0.003) / 0.004, 0.0, 1.0)
        socket = 0.22 * clamp(1 - distance / 0.012, 0.0, 1.0)
        r, g, b = r * (1 - 0.75 * socket), g * (1 - socket), b * (1 - socket)
        crease = 0.35 * upper * clamp(1 - abs(distance - 0.0045) / max(0.0011, foot), 0.0, 1.0)
        r, g, b = r * (1 - crease), g * (1 - crease), b * (1 - crease)
        lash = (0.35 + 0.6 * upper) * clamp(1.25 - distance / max(0.0013, 0.7 * foot), 0.0, 1.0)
        r, g, b = r * (1 - lash) + 0.012 * lash, g * (1 - lash) + 0.009 * lash, b * (1 - lash) + 0.008 * lash
    if age > 0.6 and y > face[EYE_R, 1] + 0.015:
        lines = noise_at(0.12 * x, y + 0.1 * x * x / 0.05, 0.1 * z, seed + 8, 1, 0.006, foot)
        furrow = 1 - 0.35 * (age - 0.6) * clamp(abs(lines) * 3, 0.0, 1.0)
        r, g, b = r * furrow, g * furrow, b * furrow
    return r, g, b


@njit(nogil=True)
@no_type_check
def eye(x, y, z, p, face, foot):
    """White, iris and pupil, darker under the lids; p: iris rgb, centre and radius of the right and left ball, seed."""
    k = 3 if x < 0.5 * (p[3] + p[7]) else 7
    dx, dy, dz = x - p[k], y - p[k + 1], z - p[k + 2]
    across = math.sqrt(dx * dx + dy * dy)
    if dz < 0:
        across = 1.0
    unit = p[k + 3] / 0.0155  # irises grow little after birth, but the model's balls differ
    across /= unit
    first, last = (EYE_R, EYE_L) if k == 3 else (EYE_L, CHEEKS)
    distance, _, within = to_line(face, first, last, True, x, y)
    lid = clamp((distance if within else -distance) / 0.0045, 0.0, 1.0)
    high = clamp((y - p[k + 1]) / 0.006 + 0.4, 0.0, 1.0)
    dark = 1 - (0.35 + 0.4 * high) * (1 - lid) * (1 - lid)
    red = clamp((across - 0.007) / 0.006, 0.0, 1.0)
    r, g, b = 0.66 - 0.08 * red, 0.60 - 0.2 * red, 0.56 - 0.2 * red
    soft = max(0.0005, foot)
    ring = clamp((0.0062 - across) / soft, 0.0, 1.0)
    r, g, b = r + ring * (0.25 * p[0] - r), g + ring * (0.25 * p[1] - g), b + ring * (0.25 * p[2] - b)
    turn = math.atan2(dy, dx)
    rays = 1 + 0.45 * noise_at(
        6 * math.cos(turn), 6 * math.sin(turn), 80 * across, int(p[11]), 2, 1.0, 100 * foot
    )
    iris = clamp((0.0057 - across) / soft, 0.0, 1.0)
    r, g, b = r + iris * (p[0] * rays - r), g + iris * (p[1] * rays - g), b + iris * (p[2] * rays - b)
    pupil = clamp((0.0022 - across) / soft, 0.0, 1.0)
    r, g, b = r + pupil * (0.004 - r), g + pupil * (0.004 - g), b + pupil * (0.004 - b)
    return r * dark, g * dark, b * dark, 0.22, 300.0, clamp(0.15 + 0.35 * g * dark, 0.0, 1.0)


@njit(nogil=True)
@no_type_check
def hair(strand, along, across, depth, inner, p, foot):
    """Strands that differ a little, lighter outside and to the tip; p: root rgb, tip rgb, grey share, seed."""
    seed = int(p[7])
    if strand < 1.5:
        # A ribbon is some strands side by side.
        lane = math.floor((across + 1) * 2.5)
        number = int(strand * 1e6)
        one = chance(number, lane, seed)
        fine = 1 + 0.22 * (one - 0.5) * 2
        body = 0.78 + 0.44 * chance(number, 99, seed)
        grey = 1.0 if p[6] > chance(number, lane + 10, seed) else 0.0
        gloss = 0.006 + 0.026 * chance(number, lane + 20, seed) * (1 - inner)
    else:
        streak = noise_at(260 * (strand - 2), 3 * along, 0.0, seed, 3, 1.0, 400 * foot)
        fine, body, gloss = 1 + 0.5 * streak, 0.8, 0.01
        grey = clamp(p[6] + 0.8 * streak, 0.0, 1.0)
    # Single strands are seen from near only; from afar their mean.
    near = clamp(0.0009 / foot, 0.0, 1.0)
    grey = 0.8 * (p[6] + near * (grey - p[6]))
    tone = (1 + near * (fine - 1)) * body * (1 - 0.5 * inner)
    share = clamp(along, 0.0, 1.0)
    r, g, b = p[0] + share * (p[3] - p[0]), p[1] + share * (p[4] - p[1]), p[2] + share * (p[5] - p[2])
    r, g, b = r + grey * (0.40 - r), g + grey * (0.39 - g), b + grey * (0.37 - b)
    r, g, b = r * tone, g * tone, b * tone
    infrared = clamp(0.05 + 0.9 * (r + g + b) / 3, 0.05, 0.6)
    return r, g, b, gloss, 55.0, infrared


@njit(nogil=True)
@no_type_check
def cloth(x, y, z, hem, lining, p, foot):
    """Woven or knitted; p: three colors, pattern, size, seed, infrared, knit, buttons, x and z of the middle."""
    pattern, size, seed = int(p[9]), p[10], int(p[11])
    bend = 0.004 * noise_at(x, y, z, seed + 9, 1, 0.12, foot) if pattern != PLAIN else 0.0
    r, g, b = p[0], p[1], p[2]
    mix2, mix3 = 0.0, 0.0
    if pattern == STRIPES:
        mix2 = soft_band(y + bend, size, 0.42, foot)
    elif pattern == CHECKS:
        # Slanted planes: no side of the body lies along them.
        down, aside = y - 0.4 * z + bend, x + 0.6 * z + bend
        mix2 = 0.5 * soft_band(down, size, 0.4, foot) + 0.5 * soft_band(aside, size, 0.4, foot)
        mix3 = 0.8 * soft_band(down + 0.3 * size, size, 0.06, foot)
    elif pattern == PRINT:
        spots = noise_at(x + bend, y, z, seed + 3, 2, 1.6 * size, foot)
        mix2 = clamp((spots - 0.18) / max(0.03, foot / size), 0.0, 1.0)
        mix3 = clamp((-spots - 0.3) / max(0.03, foot / size), 0.0, 1.0)
    elif pattern == DENIM:
        mix2 = 0.5 * clamp(0.5 + 1.2 * noise_at(x, y, z, seed + 5, 3, 0.25, foot), 0.0, 1.0)
    elif pattern == CHEST and z > p[16]:
        # A printed emblem on the chest: rings broken by noise, and a band under it.
        dx, dy = x - p[15], y - p[17]
        away = math.sqrt(dx * dx + dy * dy) / p[18]
        blot = noise_at(x, y, 0.0, seed + 3, 2, 0.03, foot)
        ring = clamp((0.16 - abs(away + 0.25 * blot - 0.62)) / 0.04, 0.0, 1.0)
        mix2 = ring if away < 1.2 else 0.0
        if abs(dy + 1.25 * p[18]) < 0.16 * p[18] and abs(dx) < p[18]:
            mix3 = soft_band(dx + 0.004 * blot, 0.013, 0.6, foot)
    elif pattern == HEATHER:
        mix2 = clamp(0.5 + 0.9 * noise_at(x, 4 * y, z, seed + 5, 2, 0.006, foot), 0.0, 1.0)
    r, g, b = r + mix2 * (p[3] - r), g + mix2 * (p[4] - g), b + mix2 * (p[5] - b)
    r, g, b = r + mix3 * (p[6] - r), g + mix3 * (p[7] - g), b + mix3 * (p[8] - b)
    tone = (
        1
        + 0.10 * noise_at(x, y, z, seed + 6, 2, 0.003, foot)
        + 0.07 * noise_at(x, y, z, seed + 7, 1, 0.15, foot)
    )
    if lining < 0.5:
        stitch = clamp(1 - abs(hem - 0.017) / max(0.0012, foot), 0.0, 1.0) * min(1.0, 0.0012 / foot + 0.3)
        tone *= 1 - 0.3 * stitch
        if p[13] > 0 and hem < 0.03:
            around = math.atan2(x - p[15], z - p[16]) * 0.16
            tone *= 0.86 + 0.24 * soft_band(around, 0.006, 0.5, foot)
        if p[14] > 0 and z > p[16]:
            r, g, b, tone = _front(x - p[15], y, p, r, g, b, tone, foot)
    else:
        tone *= 0.55
    r, g, b = clamp(r * tone, 0.002, 0.95), clamp(g * tone, 0.002, 0.95), clamp(b * tone, 0.002, 0.95)
    return r, g, b, 0.014, 7.0, clamp(p[12] + 0.2 * ((r + g + b) / 3 - 0.2), 0.08, 0.85)


@njit(nogil=True)
@no_type_check
def _front(x, y, p, r, g, b, tone, foot):
    """A placket with buttons, or a zip, down the front."""
    if p[14] < 1.5:
        edge = clamp(1 - abs(abs(x) - 0.015) / max(0.001, foot), 0.0, 1.0)
        tone *= 1 - 0.3 * edge
        dy = y - 0.085 * math.floor(y / 0.085) - 0.0425
        button = clamp((0.0055 - math.sqrt(x * x + dy * dy)) / max(0.0008, foot), 0.0, 1.0)
        r, g, b = r + button * (0.55 - r), g + button * (0.53 - g), b + button * (0.48 - b)
    else:
        teeth = clamp((0.004 - abs(x)) / max(0.0008, foot), 0.0, 1.0)
        shine = 0.25 + 0.2 * soft_band(y, 0.004, 0.5, foot)
        r, g, b = r + teeth * (shine - r), g + teeth * (shine - g), b + teeth * (shine - b)
        seam = clamp(1 - abs(abs(x) - 0.011) / max(0.001, foot), 0.0, 1.0)
        tone *= 1 - 0.35 * seam
    return r, g, b, tone


@njit(nogil=True)
@no_type_check
def shoe(u, y, w, upper, rim, p, foot):
    """Sole, upper, laces and caps; u runs along the foot from 0 at the heel; p: colors of the upper, the sole and
    the accents, style, seed, infrared.
    """
    style, seed = int(p[9]), int(p[10])
    grain = noise_at(0.27 * u, y, w, seed, 3, 0.02, foot)
    if upper < 0.5:
        r, g, b = p[3], p[4], p[5]
        line = soft_band(y, 0.009, 0.2, foot) if style != SHOE_LEATHER else 0.0
        tone = (1 - 0.25 * line) * (1 + 0.06 * grain)
        return r * tone, g * tone, b * tone, 0.03, 12.0, clamp(0.2 + 0.3 * g, 0.2, 0.5)
    r, g, b = p[0], p[1], p[2]
    tone, gloss, sharp = 1 + 0.08 * grain, 0.10, 35.0
    accent = 0.0
    # Laces are there, and stripes of the sides end before them.
    on_top = 0.50 < u < 0.76 and y > 0.045
    if style == SHOE_SNEAKER:
        gloss, sharp = 0.04, 14.0
        slant = (u - 0.42) * 0.27 - 0.8 * (y - 0.04)
        if abs(w) > 0.012 and 0.0 < slant < 0.05 and not on_top:
            accent = soft_band(slant, 0.022, 0.5, foot)
        if u < 0.10:
            accent = 1.0
    elif style == SHOE_CANVAS:
        gloss, sharp = 0.015, 8.0
        if u > 0.86 + 0.02 * math.cos(w / 0.02):
            accent = 1.0
        tone *= 1 + 0.1 * noise_at(0.27 * u, y, w, seed + 2, 2, 0.002, foot)
    cap = abs(u - 0.80) if style == SHOE_LEATHER else abs(u - 0.16 - y)
    tone *= 1 - 0.3 * clamp(1 - 0.27 * cap / max(0.0012, foot), 0.0, 1.0)
    r, g, b = r + accent * (p[6] - r), g + accent * (p[7] - g), b + accent * (p[8] - b)
    if on_top and abs(w) < 0.020:
        lace = soft_band(0.27 * u + 0.25 * abs(w), 0.011, 0.45, foot) * clamp(
            (0.019 - abs(w)) / 0.002, 0.0, 1.0
        )
        bright = 0.65 if style != SHOE_LEATHER else 0.5 * g
        tone *= 1 - 0.25 * (1 - lace)
        r, g, b = r + lace * (bright - r), g + lace * (bright - g), b + lace * (bright - b)
    if rim < 0.09:
        tone *= 0.92
    r, g, b = clamp(r * tone, 0.002, 0.95), clamp(g * tone, 0.002, 0.95), clamp(b * tone, 0.002, 0.95)
    return r, g, b, gloss, sharp, clamp(p[11] + 0.25 * g, 0.2, 0.5)
