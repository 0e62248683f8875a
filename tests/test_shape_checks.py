"""The checks that the other tests lean on are on."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from simulacra.render.rotation import quat_normalize


def test_a_wrong_shape_is_caught() -> None:
    assert quat_normalize(torch.ones(2, 4)).shape == (2, 4)
    with pytest.raises(TypeCheckError):
        quat_normalize(torch.ones(2, 3))


KERNEL = """
import numba

@numba.njit
def total(values):
    return values.sum()

def checked(values: int) -> int:
    return values
"""


def test_a_compiled_kernel_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with annotated functions beside it, which are checked."""
    (tmp_path / "planted_kernel.py").write_text(KERNEL)
    monkeypatch.setattr("simulacra.render.__path__", [str(tmp_path)])
    kernel = importlib.import_module("simulacra.render.planted_kernel")
    monkeypatch.delitem(sys.modules, "simulacra.render.planted_kernel")
    assert kernel.total(np.array([1.0, 2.0])) == 3.0
    with pytest.raises(TypeCheckError):
        kernel.checked("three")
