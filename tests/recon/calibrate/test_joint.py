"""Rigs adjusted on people and boards: the truth is found within what is said, and nothing is made worse unseen."""

from __future__ import annotations

import numpy as np
import pytest

from simulacra.recon.calibrate.joint import AdjustedRig, Belief, fit_rig, rig_problem
from simulacra.recon.calibrate.world import laid_over
from simulacra.recon.multiview.rig import CameraRig
from simulacra.render.runtime.errors import CalibrationError
from tests.recon.calibrate.planted_people import CAMERAS, Scene, planted_scene

SEEDS = range(3)


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Scene, AdjustedRig, AdjustedRig, AdjustedRig]]:
    """Calibrations that are off as believed, adjusted by the person, by a poor board, and by both."""
    found = []
    for seed in SEEDS:
        scene = planted_scene(seed, frames=30, turn_deg=0.8, place_m=0.02, boards=4, corner_px=2.0)
        fits = [
            fit_rig(rig_problem(scene.given, CAMERAS, body, boards))
            for body, boards in ((scene.body, ()), (None, scene.boards), (scene.body, scene.boards))
        ]
        found.append((scene, fits[0], fits[1], fits[2]))
    return found


def _rms(scenes: list, kind: int, which: int) -> float:
    return float(np.sqrt(np.mean([each[0].errors(each[kind].rig, True)[which] ** 2 for each in scenes])))


def test_both_together_know_more_than_either_alone(drawn: list) -> None:
    for which in (0, 1):  # turns, shifts
        person, board, both = (_rms(drawn, kind, which) for kind in (1, 2, 3))
        given = float(np.sqrt(np.mean([each[0].errors(each[0].given, True)[which] ** 2 for each in drawn])))
        assert both < person < given
        assert both < board
    said = [np.mean([each[kind].errors.rotations_deg for each in drawn]) for kind in (1, 2, 3)]
    assert said[2] < min(said[:2])


@pytest.mark.parametrize("kind", [1, 3])
def test_the_truth_is_as_far_as_the_standard_errors_say(drawn: list, kind: int) -> None:
    scores = []
    for each in drawn:
        turns, shifts = each[0].errors(each[kind].rig, kind != 1)
        scores += [turns / each[kind].errors.rotations_deg, shifts / each[kind].errors.centres_m]
    z = np.stack(scores)
    # 3 draws x 24 numbers with seven motions taken off, correlated; the larger of two errors is told, so below 1.
    assert 0.4 < np.sqrt((z**2).mean()) < 1.25
    assert np.abs(z).max() < 4
    # The control: as if every detection were independent, the errors would be several times too small.
    scene, found = drawn[0][0], drawn[0][kind]
    assert found.noise is not None and found.noise.repeat > 5
    assert (found.noise.alike >= 1).all()
    assert len(scene.body.frames) == 30


def test_outliers_and_swapped_sides_do_not_spoil_it() -> None:
    clean = planted_scene(5, frames=24, boards=0)
    spoilt = planted_scene(5, frames=24, boards=0, outliers=0.06, swapped=0.1)
    errors = [
        float(
            np.sqrt(
                (each.errors(fit_rig(rig_problem(each.given, CAMERAS, each.body)).rig, False)[0] ** 2).mean()
            )
        )
        for each in (clean, spoilt)
    ]
    before = float(np.sqrt((spoilt.errors(spoilt.given, False)[0] ** 2).mean()))
    assert errors[1] < 0.7 * before
    assert errors[1] < 2 * errors[0] + 0.05


def test_world_and_scale_stay_without_boards_and_are_theirs_with() -> None:
    scene = planted_scene(2, frames=20)
    large = scene.truth.viewmats.copy()
    large[:, :3, 3] *= 1.02
    given = CameraRig(scene.truth.intrinsics, large)
    alone = fit_rig(rig_problem(given, CAMERAS, scene.body))
    both = fit_rig(rig_problem(given, CAMERAS, scene.body, scene.boards))

    def size(rig: CameraRig) -> float:
        return float(np.linalg.norm(rig.centres - rig.centres.mean(0)))

    assert size(alone.rig) == pytest.approx(size(given), rel=1e-12) and alone.scale == 1.0
    assert size(both.rig) == pytest.approx(size(scene.truth), rel=1e-3)
    assert both.scale == pytest.approx(1 / 1.02, rel=1e-3)
    for found in (alone, both):
        np.testing.assert_allclose(laid_over(found.rig.viewmats, given.viewmats), np.eye(4), atol=1e-9)


def test_focal_lengths_come_from_boards() -> None:
    scene = planted_scene(4, frames=20, focal=0.01, place_m=0.005)
    found = fit_rig(rig_problem(scene.given, CAMERAS, scene.body, scene.boards, Belief(free_focal=True)))
    z = (found.rig.intrinsics - scene.truth.intrinsics)[:, :2] / found.errors.intrinsics[:, :2]
    assert np.abs(z).max() < 4
    off = np.abs(found.rig.intrinsics[:, 0] / scene.truth.intrinsics[:, 0] - 1)
    before = np.abs(scene.given.intrinsics[:, 0] / scene.truth.intrinsics[:, 0] - 1)
    assert off.mean() < 0.5 * before.mean()
    with pytest.raises(CalibrationError, match="does not fix its focal length"):
        fit_rig(rig_problem(scene.given, CAMERAS, scene.body, (), Belief(focal=0.001, free_focal=True)))
