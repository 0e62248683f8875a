"""SSIM and its gradient in Numba, for float32 images on a CPU; `ssim.py` has the definition and the twin.

With P = G*(x^2 + y^2) and Q = G*(x y), where G* is the windowed mean, only four windowed images are needed::

    A1 = 2 m n + C1     A2 = 2 (Q - m n) + C2     B1 = m^2 + n^2 + C1     B2 = P - m^2 - n^2 + C2
    S = A1 A2 / (B1 B2)
    dS/dm = 2 n (A2 - A1) / (B1 B2) - 2 m S (1/B1 - 1/B2)     dS/dP = -S / B2     dS/dQ = 2 A1 / (B1 B2)
    dS/dx = G^T(dS/dm) + 2 x G^T(dS/dP) + y G^T(dS/dQ)

The window is symmetric, so that its transpose is the same window over zero-padded maps. Rows are kept
interleaved (`r g b r g b ...`): a tap to the right is three numbers on, and one loop serves all channels.
Every output row is computed by one thread and the row sums are added in order: the result does not depend
on the number of threads.

The inner loops are separate small functions because LLVM vectorises them only while it can prove, with few
run-time checks, that what is written does not overlap what is read; `error_model="numpy"` removes the
branch on division by zero (B1 and B2 are positive), and the constants are float32 because Numba turns `2 *
float32` into float64.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from simulacra.render.runtime.compiled import njit
from simulacra.render.runtime.threads import run_split

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2

_REACH = WINDOW - 1
_CENTRE = WINDOW // 2
_SIDE = 3 * _REACH  # numbers by which a row of windows is shorter than a row of pixels
_C1, _C2 = np.float32(C1), np.float32(C2)
_ONE, _TWO = np.float32(1), np.float32(2)
_FAST = {"contract", "reassoc", "nsz", "arcp"}  # not nnan: a NaN must come through to be found


def gaussian_taps() -> Float[np.ndarray, " taps"]:
    """The one-dimensional window of 11 weights, sum 1."""
    weights = np.exp(-0.5 * ((np.arange(WINDOW) - _CENTRE) / SIGMA) ** 2)
    return weights / weights.sum()


def score_and_gradient(
    x: Float32[np.ndarray, "h w 3"], y: Float32[np.ndarray, "h w 3"], gradient: bool
) -> tuple[float, Float32[np.ndarray, "h w 3"] | None]:
    """Mean SSIM, and its gradient by `x` if asked for. Both images are C-contiguous and at least 11 pixels
    wide and high.
    """
    height, width, _ = x.shape
    rows_x, rows_y = x.reshape(height, -1), y.reshape(height, -1)
    taps = gaussian_taps().astype(np.float32)
    sums = np.empty(height - _REACH, np.float64)
    maps = np.empty((3, height + _REACH, rows_x.shape[1] + _SIDE), np.float32)
    maps[:, :_REACH] = maps[:, -_REACH:] = 0.0
    maps[:, :, :_SIDE] = maps[:, :, -_SIDE:] = 0.0
    run_split(lambda start, stop: _score_rows(rows_x, rows_y, taps, sums, maps, start, stop), len(sums))
    count = (height - _REACH) * (width - _REACH) * 3
    score = float(sums.sum()) / count
    if not gradient:
        return score, None
    out = np.empty_like(rows_x)
    scale = np.float32(1.0 / count)
    run_split(lambda start, stop: _gradient_rows(rows_x, rows_y, taps, maps, scale, out, start, stop), height)
    return score, out.reshape(x.shape)


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
def _score_rows(x, y, taps, sums, maps, start, stop):
    """Row sums of S, and the three partial derivatives of every S into the inside of the zero-bordered maps."""
    vertical = np.empty((4, x.shape[1]), np.float32)
    window = np.empty((4, x.shape[1] - _SIDE), np.float32)
    s = np.empty(x.shape[1] - _SIDE, np.float32)
    for r in range(start, stop):
        c = r + _CENTRE
        _moments_first(x[c], y[c], taps[_CENTRE], vertical[0], vertical[1], vertical[2], vertical[3])
        for k in range(_CENTRE):
            a, b = r + k, r + _REACH - k
            _moments_add(x[a], y[a], x[b], y[b], taps[k], vertical[0], vertical[1], vertical[2], vertical[3])
        for j in range(4):
            _horizontal(vertical[j], taps, window[j])
        inside = maps[:, r + _REACH, _SIDE:]
        _similarity(window[0], window[1], window[2], window[3], s, inside[0], inside[1], inside[2])
        sums[r] = _sum(s)


@njit(fastmath=_FAST, error_model="numpy", nogil=True, cache=True)
def _gradient_rows(x, y, taps, maps, scale, out, start, stop):
    """The last two lines of the module's formulas, for some rows."""
    vertical = np.empty(maps.shape[2], np.float32)
    window = np.empty((3, x.shape[1]), np.float32)
    for r in range(start, stop):
        for j in range(3):
            _vertical(maps[j, r : r + WINDOW], taps, vertical)
            _horizontal(vertical, taps, window[j])
        _combine(window[0], window[1], window[2], x[r], y[r], scale, out[r])


@njit(fastmath=_FAST, error_model="numpy", cache=True)
def _moments_first(x, y, tap, m, n, p, q):
    for i in range(x.shape[0]):
        u, v = x[i], y[i]
        m[i] = tap * u
        n[i] = tap * v
        p[i] = tap * (u * u + v * v)
        q[i] = tap * (u * v)


@njit(fastmath=_FAST, error_model="numpy", cache=True)
def _moments_add(xa, ya, xb, yb, tap, m, n, p, q):
    """Two rows at the same distance from the window's centre share their tap."""
    for i in range(xa.shape[0]):
        u, v, s, t = xa[i], ya[i], xb[i], yb[i]
        m[i] += tap * (u + s)
        n[i] += tap * (v + t)
        p[i] += tap * (u * u + v * v + s * s + t * t)
        q[i] += tap * (u * v + s * t)


@njit(fastmath=_FAST, error_model="numpy", cache=True)
def _horizontal(row, taps, out):
    g0, g1, g2, g3, g4, g5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for i in range(out.shape[0]):
        near = g5 * row[i + 15] + g4 * (row[i + 12] + row[i + 18]) + g3 * (row[i + 9] + row[i + 21])
        out[i] = (
            near
            + g2 * (row[i + 6] + row[i + 24])
            + g1 * (row[i + 3] + row[i + 27])
            + g0 * (row[i] + row[i + 30])
        )


@njit(fastmath=_FAST, error_model="numpy", cache=True)
def _vertical(rows, taps, out):
    r0, r1, r2, r3, r4, r5 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    r6, r7, r8, r9, r10 = rows[6], rows[7], rows[8], rows[9], rows[10]
    g0, g1, g2, g3, g4, g5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for i in range(out.shape[0]):
        near = g5 * r5[i] + g4 * (r4[i] + r6[i]) + g3 * (r3[i] + r7[i])
        out[i] = near + g2 * (r2[i] + r8[i]) + g1 * (r1[i] + r9[i]) + g0 * (r0[i] + r10[i])


@njit(fastmath=_FAST, error_model="numpy", cache=True)
def _similarity(m_row, n_row, p_row, q_row, s_row, dm, dp, dq):
    for i in range(m_row.shape[0]):
        m, n = m_row[i], n_row[i]
        product, squares = m * n, m * m + n * n
        a1 = _TWO * product + _C1
        a2 = _TWO * (q_row[i] - product) + _C2
        b1 = squares + _C1
        b2 = p_row[i] - squares + _C2
        inverse = _ONE / (b1 * b2)
        s = a1 * a2 * inverse
        s_row[i] = s
        dm[i] = _TWO * inverse * (n * (a2 - a1) - m * s * (b2 - b1))
        dp[i] = -s * inverse * b1
        dq[i] = _TWO * a1 * inverse


@njit(fastmath=_FAST, cache=True)
def _sum(row):
    total = 0.0
    for i in range(row.shape[0]):
        total += row[i]
    return total


@njit(fastmath=_FAST, cache=True)
def _combine(g_mean, g_squares, g_product, x, y, scale, out):
    for i in range(out.shape[0]):
        out[i] = scale * (g_mean[i] + _TWO * x[i] * g_squares[i] + y[i] * g_product[i])
