"""Gaussians of other trainers: seen through the session's cameras wherever their own world is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from simulacra.recon.evaluate.foreign import (
    IDENTITY,
    TRAINERS_EPS2D,
    Similarity,
    _at_one_moment,
    name_of,
    read_world,
)
from simulacra.recon.evaluate.protocol import View, choose_other, lock_protocol
from simulacra.recon.importers.building import upright
from simulacra.render.camera import Cameras
from simulacra.render.gaussians import Gaussians, rasterize_gaussians
from simulacra.render.rotation import quat_multiply
from simulacra.render.runtime.errors import ConfigError, InputError

TURN = Rotation.from_euler("xyz", [20, -70, 130], degrees=True)
# From the trainer's world to the session's.
WORLD = Similarity(TURN.as_matrix(), np.array([0.3, -1.2, 2.0]), 2.5)


def scene() -> Gaussians:
    """Forty Gaussians of one color each in a ball before the camera, in the session's world."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    return Gaussians(
        0.2 * normal(40, 3), torch.nn.functional.normalize(normal(40, 4), dim=-1), -3 + 0.3 * normal(40, 3),
        2 + normal(40), 0.5 * normal(40, 1, 3)
    )  # fmt: skip


def moved_away(gaussians: Gaussians) -> Gaussians:
    """The same Gaussians as a file in the trainer's world has them: nothing but places, axes and sizes change."""
    inverse = TURN.inv()
    means = (gaussians.means.numpy() - WORLD.translation) @ inverse.as_matrix().T / WORLD.scale
    x, y, z, w = inverse.as_quat()
    quats = quat_multiply(torch.tensor([w, x, y, z]).float().expand(40, 4), gaussians.quats)
    return gaussians.replace(
        means=torch.from_numpy(means).float(),
        quats=quats,
        log_scales=gaussians.log_scales - float(np.log(WORLD.scale)),
    )


def camera() -> Cameras:
    viewmat = torch.eye(4)
    viewmat[:3, :3] = torch.from_numpy(Rotation.from_euler("y", 15, degrees=True).as_matrix())
    viewmat[2, 3] = 2.0
    return Cameras(viewmat[None], torch.tensor([[[80.0, 0, 32], [0, 80, 32], [0, 0, 1]]]), 64, 64)


def test_a_scene_in_another_world_gives_the_same_picture_and_depth() -> None:
    here = rasterize_gaussians(scene(), camera(), eps2d=TRAINERS_EPS2D)
    there = rasterize_gaussians(moved_away(scene()), WORLD.seen_by(camera()), eps2d=TRAINERS_EPS2D)
    # float32 over two worlds: 1e-4 is a fortieth of an 8 bit step; depth in metres.
    torch.testing.assert_close(there.rgb_premul, here.rgb_premul, atol=1e-4, rtol=0)
    torch.testing.assert_close(there.depth * WORLD.scale, here.depth, atol=5e-4, rtol=0)
    assert here.alpha.max() > 0.9
    # Control: without the similarity it is elsewhere.
    wrong = rasterize_gaussians(moved_away(scene()), IDENTITY.seen_by(camera()), eps2d=TRAINERS_EPS2D)
    assert (wrong.rgb_premul - here.rgb_premul).abs().max() > 0.1


def test_nerfstudios_transforms_are_understood(tmp_path: Path) -> None:
    """Its dataparser turns, shifts and then scales what transforms.json says, which is ours with +Z up."""
    turn, shift, scale = TURN.as_matrix(), np.array([0.1, 0.2, 0.3]), 0.4
    path = tmp_path / "dataparser_transforms.json"
    path.write_text(json.dumps({"transform": np.column_stack([turn, shift]).tolist(), "scale": scale}))
    world = read_world(path)
    ours = np.array([0.5, 1.7, -0.2])
    exported = np.linalg.inv(upright("+z"))[:3, :3] @ ours
    trained = scale * (turn @ exported + shift)
    np.testing.assert_allclose(world.scale * world.rotation @ trained + world.translation, ours, atol=1e-12)


def test_a_matrix_is_a_similarity_or_refused(tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2.5 * TURN.as_matrix(), WORLD.translation
    path = tmp_path / "world.json"
    path.write_text(json.dumps(matrix.tolist()))
    found = read_world(path)
    np.testing.assert_allclose(found.rotation, WORLD.rotation, atol=1e-12)
    assert found.scale == pytest.approx(2.5)
    mirrored, sheared, flat = (matrix.copy() for _ in range(3))
    mirrored[:3, 0] *= -1
    sheared[0, 1] += 0.5
    flat[:3, :3] = 0
    for wrong in (mirrored.tolist(), sheared.tolist(), flat.tolist(), [[1]], {"transform": 3}, "x", None):
        path.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match="where a file's world is"):
            read_world(path)
    with pytest.raises(InputError):
        read_world(tmp_path / "nowhere.json")


def test_a_static_scene_is_judged_at_one_moment_by_cameras_that_were_held_out() -> None:
    rig = (("a", "b", "c"), (0, 1, 2))
    protocol = _at_one_moment(lock_protocol(*rig, ("c",)), 1)
    assert protocol.evaluated == (View("c", 1),)
    assert _at_one_moment(lock_protocol(("a", "b"), (7,), ("b",)), None).evaluated == (View("b", 7),)
    # Held-out frames of training cameras are not what a static scene of a moment was kept from.
    both = _at_one_moment(lock_protocol(*rig, ("c",), held_out_every=3), None)
    assert both.evaluated == (View("c", 2),)
    with pytest.raises(ConfigError, match="several were scored"):
        _at_one_moment(lock_protocol(*rig, ("c",)), None)
    with pytest.raises(ConfigError, match="was not scored"):
        _at_one_moment(lock_protocol(*rig, ("c",)), 5)
    only_frames = lock_protocol(*rig, (), held_out_every=3)
    with pytest.raises(ConfigError, match="held out no camera"):
        _at_one_moment(only_frames, None)
    assert _at_one_moment(choose_other(only_frames, ("a",)), None).evaluated == (View("a", 2),)


def test_scores_of_a_file_are_never_called_as_the_runs_own() -> None:
    assert name_of(Path("point_cloud.ply")) == "point_cloud" and name_of(Path("run.ply")) != "run"
