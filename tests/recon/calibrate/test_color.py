"""Planted color casts are undone, by maps as simple as they are; held-out cameras have none."""

from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.calibrate.color import (
    SharedColors,
    difference,
    match_colors,
    shared_colors_by_depth,
)
from simulacra.recon.importers.rgbd_rig import import_rgbd_rig
from simulacra.render.runtime.errors import CaptureError

NAMES = ("a", "b", "c", "d")


def _shared(maps: list, noise: float = 0.01, outliers: float = 0.05, count: int = 2000) -> SharedColors:
    generator = np.random.default_rng(0)
    truth = generator.uniform(0.1, 0.8, (count, 3))
    colors = np.stack([change(truth) for change in maps], 1)
    colors += noise * generator.standard_normal(colors.shape)
    shining = generator.random((count, len(maps))) < outliers
    colors[shining] = 0.9
    colors[generator.random((count, len(maps))) < 0.4] = np.nan
    return SharedColors(NAMES[: len(maps)], colors, np.arange(count) // 100)


def test_gains_are_found_about_their_mean() -> None:
    gains = np.array([1.1, 0.95, 1.0, 0.95])
    found = match_colors(_shared([lambda x, g=g: g * x for g in gains]))
    assert found.model == "gain" and found.after < 0.5 * found.before
    image = np.full((4, 5, 3), 0.5, dtype=np.float32)
    levels = np.array([found.apply(name, image * g).mean() for name, g in zip(NAMES, gains, strict=True)])
    np.testing.assert_allclose(levels, levels.mean(), atol=0.004)
    np.testing.assert_allclose(found.theta.sum(0), 0, atol=1e-9)


def test_a_mixture_of_channels_asks_for_affine_maps() -> None:
    M = np.array([[0.9, 0.1, 0.0], [0.05, 0.95, 0.05], [0.0, 0.2, 0.85]])
    found = match_colors(_shared([lambda x: x, lambda x: x @ M.T + 0.02, lambda x: x]))
    assert found.model == "affine" and found.after < 0.5 * found.before


def test_another_gamma_asks_for_curves() -> None:
    found = match_colors(_shared([lambda x: x, lambda x: x**1.5, lambda x: x]))
    assert found.model == "curve" and found.after < 0.5 * found.before
    ramp = np.repeat(np.linspace(0, 1, 50)[:, None], 3, 1)
    assert (np.diff(found.apply("b", ramp), axis=0) >= -1e-9).all()


def test_cameras_that_agree_are_left_alone() -> None:
    found = match_colors(_shared([lambda x: x] * 4, noise=0.03))
    assert found.model == "none" and found.after == found.before
    image = np.random.default_rng(1).random((3, 3, 3))
    np.testing.assert_array_equal(found.apply("a", image), image)


def test_a_camera_that_was_held_out_has_no_map() -> None:
    found = match_colors(_shared([lambda x: x, lambda x: 1.2 * x]))
    with pytest.raises(KeyError, match="not matched"):
        found.apply("d", np.zeros((1, 1, 3)))


def test_few_points_are_named() -> None:
    with pytest.raises(CaptureError, match="too few"):
        match_colors(_shared([lambda x: x] * 2, count=100))


def test_difference_is_of_pairs() -> None:
    colors = np.zeros((3, 3, 3))
    colors[:, 1] = 0.1
    colors[:, 2] = np.nan
    assert difference(colors) == pytest.approx(0.1)


def test_a_real_rig_agrees_better_where_it_was_not_fitted(capture_folder, tmp_path: Path) -> None:
    folder = capture_folder("rgbd_stage8/static_data3")
    session = import_rgbd_rig(folder, tmp_path / "session", depth_scale=10000.0)
    chosen = session.camera_names[:4]
    shared = shared_colors_by_depth(session, chosen, session.frame_indices[:1])
    assert shared.cameras == chosen and shared.colors.shape[1] == 4
    found = match_colors(shared)
    assert found.points > 500 and 0.005 < found.after <= found.before < 0.1
