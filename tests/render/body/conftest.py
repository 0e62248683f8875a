"""The default body, for all tests of it; a skip with its reason where its wheel has not been fetched."""

from __future__ import annotations

import pytest
import torch

from simulacra.render.body import BodyModel


@pytest.fixture(scope="session")
def body64(body: BodyModel) -> BodyModel:
    return body.to(torch.float64)
