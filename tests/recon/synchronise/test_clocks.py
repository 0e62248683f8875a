"""A session of cameras that were started one by one: found, and made a session whose frames are moments."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from simulacra.recon.multiview.sharpen import Stretch, line_through
from simulacra.recon.session import Frame, Session, SessionCamera, Source, describe_session, load_session
from simulacra.recon.synchronise import find_clocks, synchronise_session
from simulacra.recon.synchronise.streams import camera_stream
from simulacra.render.runtime.errors import CaptureError
from tests.recon.multiview.free_running import places_at
from tests.recon.planted_person import project, ring_of_cameras

FPS, FRAMES = 30.0, 150
BEGAN = (0.0, 1.0, 0.01)  # the second by 30 frames, the third by a third of one


class Clairvoyant:
    """Reads the moment and the camera off a picture's color, and sees the person who moves without repeating."""

    def __init__(self, cameras: int, ticks: float = 5000) -> None:
        self.viewmats, self.Ks = ring_of_cameras(cameras)
        self.ticks = ticks
        self.random = np.random.default_rng(0)

    def detect(self, image: np.ndarray, looks: int) -> Any:
        red, green, blue = np.round(255 * image[0, 0]).astype(int)
        camera = slice(int(red), int(red) + 1)
        seconds = np.array([(256 * green + blue) / self.ticks])
        px = project(places_at(seconds, 0), self.viewmats[camera], self.Ks[camera])[0, 0]
        px = px + 2.0 * self.random.standard_normal(px.shape)
        return SimpleNamespace(px=px, visibility=np.ones(33), score=0.9, next_roi=None)

    def track(self, image: np.ndarray, roi: Any) -> Any:
        return self.detect(image, 1)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Frame k of each camera is its k-th picture, as after an import."""
    root = tmp_path_factory.mktemp("started") / "session"
    viewmats, Ks = ring_of_cameras(3)
    names = ["a", "b", "c"]
    cameras = [SessionCamera(n, 1000, 1000, K, V) for n, K, V in zip(names, Ks, viewmats, strict=True)]
    for camera, name in enumerate(names):
        (root / "images" / name).mkdir(parents=True)
        (root / "masks" / name).mkdir(parents=True)
        for k in range(FRAMES):
            ticks = round(5000 * (k / FPS + BEGAN[camera]))
            pixel = np.array([[[ticks % 256, ticks // 256, camera]]], np.uint8)  # blue first
            cv2.imwrite(str(root / "images" / name / f"{k:06d}.png"), pixel)
        cv2.imwrite(str(root / "masks" / name / "000050.png"), np.full((1, 1), 100 + camera, np.uint8))
    frames = [
        Frame(k, {name: Source(f"images/{name}/{k:06d}.png", None, k / FPS) for name in names})
        for k in range(FRAMES)
    ]
    (root / "session.json").write_text(describe_session(cameras, frames, notes=[], about={"subject": "S"}))
    return load_session(root)


def test_cameras_that_were_started_one_by_one(session: Session, tmp_path: Path) -> None:
    streams = {name: camera_stream(session, name) for name in session.camera_names}
    found = find_clocks(session, streams, Clairvoyant(3), largest=3.0)
    # 2 px of noise in five seconds: 0.03 frames here; what is asked for is a fifth.
    for name, began in zip("abc", BEGAN):
        assert FPS * (found.began[name] - found.began["a"]) == pytest.approx(FPS * began, abs=0.2)
        assert found.clocks[name].drift == 0.0
    made = synchronise_session(session, streams, found, tmp_path / "new")
    assert [frame.index for frame in made.frames] == list(range(FRAMES - 30))
    first = {name: Path(source.file).stem for name, source in made.frames[0].sources.items()}
    assert first == {"a": "000030", "b": "000000", "c": "000030"}
    times = [source.time for source in made.frames[10].sources.values()]
    assert max(t for t in times if t is not None) - min(t for t in times if t is not None) < 0.5 / FPS
    # Masks go with their pictures.
    assert {p.name for p in (made.root / "masks/a").iterdir()} == {"000020.png"}
    assert {p.name for p in (made.root / "masks/b").iterdir()} == {"000050.png"}
    assert made.about["synchronised"]["b"]["began_frames"] == pytest.approx(30, abs=0.2)
    assert made.about["subject"] == "S" and any(note.startswith("synchronised") for note in made.notes)


def test_an_offset_beyond_the_search_is_an_error_that_names_the_camera(session: Session) -> None:
    streams = {name: camera_stream(session, name) for name in session.camera_names}
    with pytest.raises(CaptureError, match=r"does not tell when[\s\S]*where: b\n[\s\S]*within 0.5 s"):
        find_clocks(session, streams, Clairvoyant(3), largest=0.5)


def test_pictures_without_sound_or_times_are_errors(session: Session) -> None:
    streams = {name: camera_stream(session, name) for name in session.camera_names}
    with pytest.raises(CaptureError, match="do not clearly hear the same"):
        find_clocks(session, streams, None, "sound")
    silent = [Frame(f.index, {n: Source(s.file) for n, s in f.sources.items()}) for f in session.frames]
    timeless = Session(session.root, session.cameras, tuple(silent), (), {})
    with pytest.raises(CaptureError, match=r"no times that rise[\s\S]*--fps"):
        camera_stream(timeless, "a")


@pytest.mark.parametrize(("drift", "found"), [(0.0, 0.0), (2e-3, 2e-3)])
def test_lags_of_stretches_are_a_line(drift: float, found: float) -> None:
    noise = 1e-4 * np.random.default_rng(0).standard_normal(5)
    stretches = [
        Stretch(10.0 * k, np.array([0.02 + drift * 10 * k + noise[k]]), np.array([1e-4])) for k in range(5)
    ]
    line = line_through(stretches, 0, 1 / 30)
    assert line.lean == pytest.approx(found, abs=2e-5) and line.lag == pytest.approx(0.02, abs=3e-4)


def test_how_landmarks_err_while_a_person_turns_is_no_drift() -> None:
    """Of a recorded motion: three stretches on one line by chance, which no clock of a camera would follow."""
    lags, errors = np.array([0.34, 0.05, -0.25]) / 30, np.array([0.02, 0.11, 0.04]) / 30
    stretches = [Stretch(12.0 + 4.3 * k, lags[k : k + 1], errors[k : k + 1]) for k in range(3)]
    line = line_through(stretches, 0, 1 / 30)
    assert line.lean == 0.0
    assert abs(30 * line.lag) < 0.1 and 0.1 < 30 * line.error < 0.4
