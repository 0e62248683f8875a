"""A planted person in a planted rig: each mistake, made on purpose, is named, and none is where none was made."""

from dataclasses import replace

import numpy as np
import pytest

from simulacra.recon.preflight import diagnosis
from simulacra.recon.preflight.bodies import (
    PersonViews,
    measure_agreement,
    pair_errors,
    person_scale,
    stature,
)
from simulacra.recon.preflight.consistency import _find_turns
from simulacra.recon.preflight.diagnosis import CONVENTIONS, diagnose, rescale
from simulacra.recon.preflight.remedies import best_remedies
from simulacra.recon.session import SessionCamera
from tests.recon.planted_person import planted

CAMERAS = 4
SIDE = 1000


def planted_views(frames: int = 2, noise_px: float = 4.0) -> PersonViews:
    """The stick person of 1.7 m as a detector would see it, 4 px beside the truth."""
    made = planted(cameras=CAMERAS, frames=frames, noise_px=noise_px)
    cameras = tuple(SessionCamera(str(c), SIDE, SIDE, made.Ks[c], made.viewmats[c]) for c in range(CAMERAS))
    weight = np.ones(made.pixels.shape[:3])
    weight[:, :, 1:7] = weight[:, :, 9:11] = weight[:, :, 17:23] = 0
    height = np.ptp(made.pixels[..., 1], axis=2)
    views = PersonViews(
        cameras, tuple(range(frames)), made.pixels, made.pixels, weight, height, made.viewmats, made.Ks
    )
    return rescale(views)


SOUND = planted_views()


def named(views: PersonViews) -> list[tuple[str, tuple[str, ...]]]:
    broken = rescale(views)
    return [(d.mistake.code, d.mistake.cameras) for d in diagnose(broken, measure_agreement(broken))]


def broken_px(change: object, camera: int) -> PersonViews:
    px, mirrored = change(SOUND, camera)  # type: ignore[operator]
    pixels, weight = SOUND.px.copy(), SOUND.weight.copy()
    pixels[:, camera] = px[:, diagnosis.MIRROR] if mirrored else px
    return replace(SOUND, px=pixels, raw=pixels, weight=weight)


def test_a_sound_rig_is_measured_and_nothing_is_named() -> None:
    found = measure_agreement(SOUND)
    assert named(SOUND) == []
    assert max(found.of_cameras().values()) < 0.015
    assert np.nanmax(pair_errors(found.views)) < 0.015
    assert stature(found.points) * person_scale(SOUND) == pytest.approx(1.7, rel=0.15)


@pytest.mark.parametrize("scale", [0.01, 1000.0])
def test_no_unit_is_needed_and_the_unit_is_found(scale: float) -> None:
    viewmats = SOUND.viewmats.copy()
    viewmats[:, :3, 3] *= scale
    other = rescale(replace(SOUND, viewmats=viewmats))
    assert other.scale == pytest.approx(SOUND.scale * scale, rel=1e-6)
    assert named(other) == []


# Those that are their own inverse: made as they are undone.
OWN_INVERSE = [
    (said, undo) for said, undo in CONVENTIONS if "positions" not in said and "OpenGL's axes" not in said
]


@pytest.mark.parametrize(("said", "undo"), OWN_INVERSE, ids=[said[:20] for said, _ in OWN_INVERSE])
def test_a_foreign_convention_is_named(said: str, undo: object) -> None:
    every = list(range(CAMERAS))
    assert named(diagnosis._poses(SOUND, undo, every)) == [("pose-convention", ())]  # type: ignore[arg-type]
    assert ("pose-convention", ("2",)) in named(diagnosis._poses(SOUND, undo, [2]))  # type: ignore[arg-type]


def test_positions_for_translations_are_named() -> None:
    wrong = SOUND.viewmats.copy()
    wrong[:, :3, 3] = -np.einsum("cji,cj->ci", wrong[:, :3, :3], wrong[:, :3, 3])
    found = diagnose(
        rescale(replace(SOUND, viewmats=wrong)), measure_agreement(rescale(replace(SOUND, viewmats=wrong)))
    )
    assert [d.mistake.code for d in found] == ["pose-convention"]
    assert "positions" in found[0].evidence()


def test_exchanged_calibrations_are_named() -> None:
    assert named(diagnosis._exchange_calibrations(SOUND, 1, 3)) == [("camera-order", ("1", "3"))]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (diagnosis._mirror, "image-mirrored"),
        (diagnosis._turn_back(1), "image-turned"),
        (diagnosis._turn_back(2), "image-turned"),
    ],
)
def test_a_picture_that_was_turned_or_mirrored_is_named(change: object, code: str) -> None:
    assert named(broken_px(change, 2)) == [(code, ("2",))]


def test_a_resized_picture_is_named_with_its_factor() -> None:
    small = diagnosis._scale(SOUND, [1], 0.5)
    (found,) = diagnose(small, measure_agreement(small))
    assert (found.mistake.code, found.mistake.cameras) == ("image-scale", ("1",))
    assert "0.50 times" in found.evidence() and found.after < 0.02 < found.before


def test_a_turned_camera_is_found_with_its_angle_and_the_others_are_left_alone() -> None:
    views = planted_views(frames=12)
    assert _find_turns(measure_agreement(views)) == {}
    turn = np.zeros((CAMERAS, 3))
    turn[3, 1] = np.radians(1.5)
    wrong = rescale(replace(views, viewmats=views.pinhole.turned(turn).viewmats))
    found = _find_turns(measure_agreement(wrong))
    assert list(found) == ["3"]
    assert found["3"].size == pytest.approx(1.5, abs=0.25)
    assert found["3"].gain > 0.5


def test_a_wrong_focal_length_is_measured() -> None:
    views = planted_views(frames=12, noise_px=1.0)
    Ks = views.Ks.copy()
    Ks[2, [0, 1], [0, 1]] *= 1.06
    remedy = best_remedies(measure_agreement(rescale(replace(views, Ks=Ks))), 2)["focal"]
    assert remedy.size == pytest.approx(-0.06, abs=0.015) and remedy.gain > 0.3
