"""New cameras are judged by the person whom a session shows."""

from pathlib import Path

import pytest

from simulacra.recon.calibrate import judged
from simulacra.recon.calibrate.judged import judge_cameras, refuse_worse
from simulacra.recon.calibrate.session_rig import adjusted_cameras
from simulacra.recon.multiview.rig import CameraRig
from simulacra.recon.preflight.samples import Body, CameraSamples, SessionSamples
from simulacra.recon.session import Frame, Session, SessionCamera, Source
from simulacra.render.runtime.errors import CalibrationError
from tests.recon.calibrate.planted_people import CAMERAS, Scene, planted_scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return planted_scene(1, frames=12, turn_deg=1.5, place_m=0.02, boards=0)


def session_of(rig: CameraRig, frames: int) -> Session:
    cameras = tuple(
        SessionCamera(name, 1000, 1000, K, viewmat)
        for name, K, viewmat in zip(CAMERAS, rig.Ks, rig.viewmats, strict=True)
    )
    pictures = [Frame(i, {name: Source(f"{name}/{i}.png") for name in CAMERAS}) for i in range(frames)]
    return Session(Path("nowhere"), cameras, tuple(pictures), (), {}, None)  # type: ignore[arg-type]


def _samples(scene: Scene) -> SessionSamples:
    seen = scene.body.detections
    frames = tuple(range(len(seen.pixels)))
    return SessionSamples(
        tuple(
            CameraSamples(
                name, (), 0,
                {t: Body(seen.pixels[t, c], seen.confidence[t, c], 1.0, 500.0) for t in frames}, {},
            )
            for c, name in enumerate(CAMERAS)
        ),
        frames, (), True,
    )  # fmt: skip


def test_cameras_that_explain_the_person_worse_are_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged, "sample_session", lambda *words, **options: _samples(scene))
    frames = len(scene.body.frames)
    true, off = session_of(scene.truth, frames), session_of(scene.given, frames)
    worse = judge_cameras(true, adjusted_cameras(true.cameras, scene.given), None)
    with pytest.raises(CalibrationError, match="explain the person worse") as caught:
        refuse_worse(worse)
    assert worse.person is not None and worse.boards is None
    assert f"{worse.person.total[1]:.2f} with the new ones" in str(caught.value.found)
    better = judge_cameras(off, adjusted_cameras(off.cameras, scene.truth), None)
    assert better.person is not None and better.person.better
    refuse_worse(better)
    # The same cameras are not worse than themselves.
    refuse_worse(judge_cameras(true, true.cameras, None))
