"""The record of Gaussians: checked when made, chosen from, joined."""

from __future__ import annotations

import pytest
import torch

from simulacra.render.gaussians import Gaussians

from .conftest import make_scene


def some(n: int = 6) -> Gaussians:
    scene = make_scene(0, n=n)
    return scene.gaussians(scene.leaves)


def test_parts_joined_are_the_whole() -> None:
    whole = some()
    joined = Gaussians.concatenate([whole[:2], whole[torch.arange(6) >= 2]])
    assert len(joined) == 6
    assert torch.equal(joined.sh, whole.sh)
    assert torch.equal(joined.quats, whole.quats)


def test_replace_leaves_the_original_alone() -> None:
    whole = some()
    before = whole.means.clone()
    moved = whole.replace(means=whole.means + 1)
    assert torch.equal(whole.means, before)
    assert torch.equal(moved.means, before + 1)
    assert moved.quats is whole.quats


def test_fields_of_different_length_are_refused() -> None:
    # jaxtyping sees it first in tests, the record's own check in production: both must refuse.
    with pytest.raises(Exception, match=r"differ in length|quats"):
        some().replace(means=torch.zeros(5, 3).double())


def test_a_number_of_coefficients_between_degrees_is_refused() -> None:
    with pytest.raises(ValueError, match="5 coefficients"):
        some().replace(sh=torch.zeros(6, 5, 3).double())
