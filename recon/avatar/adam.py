"""Adam (Kingma and Ba, 2015) in one pass over memory: parameters and moments go in, new ones come out."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simulacra.render.runtime.compiled import njit
from simulacra.render.runtime.threads import run_split

# An epsilon this small because Gaussians that one view barely touches have tiny gradients.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15
BLOCK = 1 << 14  # least numbers a thread is woken for


def adam_update(
    value: Float[Tensor, "..."],
    gradient: Float[Tensor, "..."],
    moment1: Float[Tensor, "..."],
    moment2: Float[Tensor, "..."],
    rate: float,
    step: int,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """The value and both moments after update number ``step`` (from 1).

    A Numba kernel for float32 on the CPU, `adam_update_reference` for other types and devices.
    """
    if value.dtype != torch.float32 or value.device.type != "cpu":
        return adam_update_reference(value, gradient, moment1, moment2, rate, step)
    inputs = [t.detach().contiguous().view(-1).numpy() for t in (value, gradient, moment1, moment2)]
    outputs = [torch.empty(value.shape, dtype=torch.float32) for _ in range(3)]
    flat = [t.view(-1).numpy() for t in outputs]
    scale, unbias = np.float32(rate / (1 - BETA1**step)), np.float32(1 / (1 - BETA2**step))
    run_split(lambda start, stop: _update(*inputs, scale, unbias, *flat, start, stop), value.numel(), BLOCK)
    return outputs[0], outputs[1], outputs[2]


def adam_update_reference(
    value: Float[Tensor, "..."],
    gradient: Float[Tensor, "..."],
    moment1: Float[Tensor, "..."],
    moment2: Float[Tensor, "..."],
    rate: float,
    step: int,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """`adam_update` in plain torch: torch.optim's own would bring torch's compiler along (seconds)."""
    moment1 = BETA1 * moment1 + (1 - BETA1) * gradient
    moment2 = BETA2 * moment2 + (1 - BETA2) * gradient.square()
    scale, unbias = rate / (1 - BETA1**step), 1 / (1 - BETA2**step)
    return value - scale * moment1 / ((moment2 * unbias).sqrt() + EPSILON), moment1, moment2


_B1, _B2 = np.float32(BETA1), np.float32(BETA2)
_C1, _C2 = np.float32(1 - BETA1), np.float32(1 - BETA2)
_EPSILON = np.float32(EPSILON)


@njit(fastmath={"contract"}, error_model="numpy", nogil=True, cache=True)
@no_type_check
def _update(value, gradient, moment1, moment2, scale, unbias, out, first, second, start, stop):
    for i in range(start, stop):
        g = gradient[i]
        m = _B1 * moment1[i] + _C1 * g
        v = _B2 * moment2[i] + _C2 * g * g
        first[i], second[i] = m, v
        out[i] = value[i] - scale * m / (np.sqrt(v * unbias) + _EPSILON)
