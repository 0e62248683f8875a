"""Up is right or asked for, however cameras are mounted."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simulacra.recon.importers.placing import turn_upright, upright_by_cameras
from simulacra.recon.multiview.up import CLEAR_LEAD, UpVote, angles_between, lean_of, level_up, rank_ups
from simulacra.recon.session import SessionCamera
from simulacra.render.runtime.errors import CalibrationError

Z = np.array([0.0, 0.0, 1.0])


def cameras(
    azimuths: np.ndarray, elevations: np.ndarray, rolls: np.ndarray, R_source_world: np.ndarray | None = None
) -> np.ndarray:
    """Cameras two metres from what they look at in a world with z up, rolled about their viewing direction; degrees.

    The world is then turned into a source's.
    """
    az, el = np.radians(azimuths), np.radians(elevations)
    outwards = np.stack([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)], -1)
    found = np.tile(np.eye(4), (len(az), 1, 1))
    for viewmat, out, roll in zip(found, outwards, rolls, strict=True):
        right = np.cross(-out, Z) / np.linalg.norm(np.cross(-out, Z))
        level = np.stack([right, np.cross(-out, right), -out])
        viewmat[:3, :3] = Rotation.from_euler("z", roll, degrees=True).as_matrix() @ level
        viewmat[:3, 3] = -viewmat[:3, :3] @ (2 * out + Z)
    if R_source_world is not None:
        found[:, :3, :3] = found[:, :3, :3] @ R_source_world.T
    return found


def ring(count: int, roll: float, *, noise: float = 2.0, elevation: float = 5.0, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return cameras(
        360 * np.arange(count) / count,
        elevation + generator.normal(0, 3, count),
        roll + generator.normal(0, noise, count),
    )


def dome(count: int, rolls: np.ndarray | float, R_source_world: np.ndarray | None = None) -> np.ndarray:
    generator = np.random.default_rng(1)
    around, above = generator.uniform(0, 360, count), generator.uniform(-10, 75, count)
    return cameras(
        around, above, np.broadcast_to(rolls, count) + generator.normal(0, 2, count), R_source_world
    )


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(angles_between(a[None], b)[0])


def test_a_dome_on_its_side_is_upright_in_any_world() -> None:
    for seed, roll in enumerate((90.0, -90.0)):
        R = Rotation.random(random_state=seed).as_matrix()
        viewmats = dome(94, roll, R)
        best = rank_ups(viewmats)[0]
        assert apart(best.direction, R @ Z) < 1 and best.lead > CLEAR_LEAD and best.turned == 94
        T, said = upright_by_cameras(list(viewmats))
        assert (
            apart(T[:3, :3] @ R @ Z, np.array([0.0, 1.0, 0.0])) < 1
            and "94 of 94 cameras on their side" in said
        )
        # The control: pictures' own up, which this is not.
        assert apart(-viewmats[:, 1, :3].mean(0) / np.linalg.norm(viewmats[:, 1, :3].mean(0)), R @ Z) > 45


def test_mixed_rigs_are_upright() -> None:
    generator = np.random.default_rng(2)
    for viewmats in (
        dome(40, generator.choice([0.0, 90.0, -90.0], 40)),
        np.concatenate([ring(6, 0.0), ring(6, 90.0, seed=1, elevation=25.0)]),
    ):
        best = rank_ups(viewmats)[0]
        assert apart(best.direction, Z) < 3 and best.lead > CLEAR_LEAD
        assert 0 < best.turned < len(viewmats)


@pytest.mark.parametrize("count", [3, 8, 20])
@pytest.mark.parametrize("roll", [90.0, -90.0])
def test_a_level_ring_on_its_side_asks_for_the_sign(count: int, roll: float) -> None:
    """Its cameras look neither down nor up: which of the two ends of the axis is up is not in their poses."""
    viewmats = ring(count, roll)
    with pytest.raises(CalibrationError, match=r"\+z.*-z|-z.*\+z") as caught:
        upright_by_cameras(list(viewmats))
    assert "--world-up +z" in str(caught.value.remedy)
    # A person who stands there breaks the tie, whichever way.
    for up in (Z, -Z):
        T, said = upright_by_cameras(list(viewmats), [UpVote("the person", up, 12.0, 0.003)])
        assert apart(T[:3, :3] @ up, np.array([0.0, 1.0, 0.0])) < 5 and "on their side" in said


def test_upright_rings_are_as_before() -> None:
    best = rank_ups(ring(8, 0.0))[0]
    assert apart(best.direction, Z) < 2 and best.turned == 0
    assert best.lead > 2 * CLEAR_LEAD
    # From the floor, looking up by 20 degrees: no reason to hang all cameras upside down.
    low = rank_ups(ring(6, 0.0, elevation=-20.0))[0]
    assert apart(low.direction, Z) < 2 and low.lead > CLEAR_LEAD


def test_one_level_camera_in_its_own_world_is_upright() -> None:
    T, said = upright_by_cameras([np.eye(4)])
    np.testing.assert_allclose(T[:3, :3] @ [0, -1, 0], [0, 1, 0], atol=1e-12)
    assert said == "-y is taken as up: the cameras' horizons are 0.0 degrees from it"


def test_sources_that_contradict_each_other_ask() -> None:
    viewmats = list(ring(8, 0.0))
    aside = UpVote("gravity in the file", np.array([1.0, 0.0, 0.0]), 2.0, 0.01)
    with pytest.raises(CalibrationError, match=r"gravity in the file is 9\d degrees from \+z"):
        upright_by_cameras(viewmats, [aside])
    doubtful = UpVote("the floor", np.array([1.0, 0.0, 0.0]), 5.0, 0.3)
    T, _ = upright_by_cameras(viewmats, [doubtful])
    assert apart(T[:3, :3] @ Z, np.array([0.0, 1.0, 0.0])) < 2


def test_a_given_axis_that_the_horizons_contradict_is_said() -> None:
    placed = [SessionCamera(f"v{i}", 64, 48, np.eye(3), viewmat) for i, viewmat in enumerate(dome(30, 90.0))]
    _, said = turn_upright(placed, "+x")
    assert "the cameras' horizons say +z" in said
    assert turn_upright(placed, "+z")[1] == "+z of the calibration is up, as given"


def test_a_world_that_is_upright_has_no_lean_however_cameras_are_mounted() -> None:
    to_y_up = Rotation.from_euler("x", -90, degrees=True).as_matrix()
    Y = to_y_up @ Z
    np.testing.assert_allclose(Y, [0, 1, 0], atol=1e-12)
    for roll in (0.0, 90.0, -90.0):
        viewmats = dome(12, roll, to_y_up)
        assert lean_of(viewmats, Y) < 3
        assert lean_of(viewmats, np.array([1.0, 0.0, 0.0])) == pytest.approx(90, abs=3)
        assert lean_of(viewmats, -Y) == pytest.approx(180, abs=3)


def test_the_level_plane_is_exact_where_cameras_look_around() -> None:
    viewmats = ring(6, 90.0, noise=0.0)
    up, error = level_up(viewmats, Z)
    assert error < 1 and apart(up, Z) < 1e-4
    assert level_up(viewmats[:1], Z)[1] == np.inf


def test_random_rigs_are_right_or_asked_for() -> None:
    """Rings and domes of all mounts: none is wrong, and what can be told is told."""
    generator = np.random.default_rng(3)
    told = {"right": 0, "asked": 0}
    for trial in range(24):
        kind = ("upright", "left", "right", "mixed")[trial % 4]
        count = int(generator.integers(4, 12))
        base = {"upright": 0.0, "left": 90.0, "right": -90.0, "mixed": generator.choice([0.0, 90.0], count)}[
            kind
        ]
        above = generator.uniform(-10, 20) if trial % 3 else generator.uniform(0, 70, count)
        viewmats = cameras(
            360 * np.arange(count) / count + generator.normal(0, 5, count),
            above + generator.normal(0, 4, count),
            base + generator.normal(0, 3, count),
            Rotation.random(random_state=trial).as_matrix() if trial % 2 else None,
        )
        truth = Rotation.random(random_state=trial).as_matrix() @ Z if trial % 2 else Z
        best = rank_ups(viewmats)[0]
        if best.lead < CLEAR_LEAD:
            assert kind != "upright", "a ring of level cameras needs no asking"
            told["asked"] += 1
        else:
            assert apart(best.direction, truth) < 10
            told["right"] += 1
    assert told["right"] >= 12
