"""Each switch of a virtual capture is found by the check that is named after it, and nothing is found without one.

A person is made and lit once; a camera's picture that a switch does not change is drawn once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from simulacra.recon.preflight import Preflight, PreflightConfig, inspect
from simulacra.recon.preflight.samples import NetworkPersonDetector
from simulacra.render.runtime.errors import AssetError, MissingExtraError
from simulacra.tools.virtual import capture, stations
from simulacra.tools.virtual.config import Fault, PersonConfig, VirtualCaptureConfig
from simulacra.tools.virtual.motion import MotionConfig
from simulacra.tools.virtual.people.person import Surfaces
from simulacra.tools.virtual.picture import relit
from simulacra.tools.virtual.rig import RigConfig

# Four cameras around the front, one moment. Shutters of no time: nothing has to be posed twice.
STILL = VirtualCaptureConfig(
    person=PersonConfig(seed=11),
    rig=RigConfig(layout="arc", count=4, distance=2.3, span=150.0, width=448, height_px=448),
    light_seed=3,
    shutter_ms=0.0,
    true_pictures=False,
)
# Nearer to each other, and somebody who walks on the spot for a second.
MOVING = replace(
    STILL,
    rig=replace(STILL.rig, span=120.0, width=400, height_px=400),
    motion=MotionConfig(name="walk", start_seconds=0.3),
    frames=32,
)
ODD = "1"

Record = Callable[[VirtualCaptureConfig], Preflight]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Records a session and checks it."""
    try:
        detector = NetworkPersonDetector()
        stations.load_body()
    except (AssetError, MissingExtraError) as error:
        pytest.skip(str(error))
    make_person, light_up, shoot = stations.make_person, capture.light_up, capture.shoot
    people: dict[str, stations.Person] = {}
    lit: dict[int, capture.LitScene] = {}
    shots: dict[str, capture.Shot] = {}

    def one_person(body: stations.BodyModel, recipe: stations.PersonRecipe) -> stations.Person:
        return people.setdefault(repr(recipe), people.get(repr(recipe)) or make_person(body, recipe))

    def one_light(person: stations.Person, surfaces: Surfaces, light: stations.Light) -> capture.LitScene:
        """The first moment's light on every other: shadows are not what is tested."""
        if id(person) not in lit:
            lit[id(person)] = light_up(person, surfaces, light)
        return relit(lit[id(person)], surfaces)

    def one_shot(
        stage: capture.Studio, station: stations.Station, scenes: list[capture.LitScene], index: int
    ) -> capture.Shot:
        calibrated = replace(station.fault, turn_deg=0.0, move_mm=0.0, focal_percent=0.0)
        key = repr((replace(stage.settings, faults=()), station.camera, calibrated, index))
        if key not in shots:
            shots[key] = shoot(stage, station, scenes, index)
        return shots[key]

    @cache
    def record(settings: VirtualCaptureConfig) -> Preflight:
        root = tmp_path_factory.mktemp("switch") / "session"
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(stations, "make_person", one_person)
            patched.setattr(capture, "light_up", one_light)
            patched.setattr(capture, "shoot", one_shot)
            session = capture.record_session(settings, root)
        return inspect(session, settings=PreflightConfig(frames=1), detector=detector).record

    return record


def found(record: Preflight) -> dict[str, tuple[str, ...]]:
    """The cameras that each doubtful or failed check names."""
    return {check.code: check.places for check in record.checks if check.status != "pass"}


@pytest.mark.parametrize("settings", [STILL, MOVING], ids=["still", "moving"])
def test_a_sound_capture_passes(checked: Record, settings: VirtualCaptureConfig) -> None:
    record = checked(settings)
    assert not record.failed()
    assert not set(found(record)) & {"noise", "blur", "time-offset", "exposure", "clipping", "camera-pose"}
    assert len(record.of("camera-pose")) == 1


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        (Fault(camera=ODD, iso=64.0), {"noise"}),
        (Fault(camera=ODD, defocus_px=3.0), {"blur"}),
        (Fault(camera=ODD, exposure=3.0), {"exposure", "clipping"}),
        (Fault(camera=ODD, turn_deg=2.0), {"camera-pose"}),
    ],
    ids=["noise", "blur", "exposure", "calibration"],
)
def test_a_switch_is_found_by_its_check_in_its_camera(checked: Record, fault: Fault, codes: set[str]) -> None:
    named = found(checked(replace(STILL, faults=(fault,))))
    right = codes & set(named)
    assert right, named
    assert all(named[code] == (ODD,) for code in right)


def test_a_late_camera_is_found(checked: Record) -> None:
    late = Fault(camera=ODD, lag_ms=3000.0 / MOVING.fps)
    record = checked(replace(MOVING, faults=(late,)))
    assert found(record)["time-offset"] == (ODD,)
    # It looks at a later moment: what it shows comes early in its frames.
    assert record.of("time-offset")[0].measured == pytest.approx(-3.0, abs=0.5)
