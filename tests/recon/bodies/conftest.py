"""The made-up model of SMPL-X's layout, once for all tests of bodies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulacra.render.body import BodyModel
from tests.recon.bodies.made_model import made_arrays, write_npz


@pytest.fixture(scope="session")
def arrays(body: BodyModel) -> dict[str, np.ndarray]:
    return made_arrays(body)


@pytest.fixture(scope="session")
def folder(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("smplx")
    write_npz(found / "SMPLX_NEUTRAL.npz", arrays)
    return found
