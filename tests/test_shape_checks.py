"""The checks that the other tests lean on are on."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from render.rotation import quat_normalize


def test_a_wrong_shape_is_caught() -> None:
    assert quat_normalize(torch.ones(2, 4)).shape == (2, 4)
    with pytest.raises(TypeCheckError):
        quat_normalize(torch.ones(2, 3))
