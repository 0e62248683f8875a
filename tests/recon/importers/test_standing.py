"""A person who stands says which way is up where cameras do not."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from simulacra.recon.importers import standing
from simulacra.recon.importers.footage import Footage
from simulacra.recon.importers.placing import place
from simulacra.recon.importers.standing import find_torso, person_vote, vote_of_torsos
from simulacra.recon.session import Frame, SessionCamera, Source
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import CalibrationError
from tests.recon.multiview.test_up import Z, apart, ring

K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])


def rig(count: int = 6) -> list[SessionCamera]:
    """A level ring of cameras on their sides, which look at a point a metre high."""
    return [SessionCamera(f"v{i}", 64, 48, K, viewmat) for i, viewmat in enumerate(ring(count, 90.0))]


def torsos_of(cameras: list[SessionCamera], hips: np.ndarray, shoulders: np.ndarray) -> dict[str, np.ndarray]:
    found = {}
    for camera in cameras:
        local = np.stack([hips, shoulders]) @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
        found[camera.name] = local[:, :2] / local[:, 2:] * 60 + [32, 24]
    return found


def test_up_is_from_the_hips_to_the_shoulders() -> None:
    cameras = rig()
    vote = vote_of_torsos(cameras, torsos_of(cameras, Z, 1.5 * Z))
    assert vote is not None and apart(vote.direction, Z) < 1e-6
    head_down = vote_of_torsos(cameras, torsos_of(cameras, Z, 0.5 * Z))
    assert head_down is not None and apart(head_down.direction, -Z) < 1e-6
    # One who lies is seen from the head, from the feet and from the sides: no end of that is up.
    assert vote_of_torsos(cameras, torsos_of(cameras, Z - [0.5, 0.2, 0.0], Z)) is None
    assert vote_of_torsos(cameras[:2], torsos_of(cameras[:2], Z, 1.5 * Z)) is None
    # Each camera another person: some are upside down.
    mixed = torsos_of(cameras, Z, 1.5 * Z)
    mixed.update({name: pair[::-1] for name, pair in list(mixed.items())[:3]})
    assert vote_of_torsos(cameras, mixed) is None


def test_a_person_who_lies_in_the_picture_is_found_in_its_quarter_turn() -> None:
    """A network that knows people with their heads (a white corner) up, and places them in the picture that it sees."""

    def find(image: np.ndarray) -> SimpleNamespace:
        height, width = image.shape[:2]
        upright = image[: height // 2].mean() > image[height // 2 :].mean()
        px = np.full((33, 2), (width / 2, 0.6 * height), np.float32)
        px[[11, 12]] = width / 2, 0.3 * height
        return SimpleNamespace(
            px=px, visibility=np.ones(33), score=0.9 if upright and height > width else 0.2
        )

    image = np.zeros((48, 64, 3), np.float32)
    image[:, 48:] = 1  # the head is on the right
    torso = find_torso(image, find)  # type: ignore[arg-type]
    np.testing.assert_allclose(torso, [[0.4 * 64, 24], [0.7 * 64, 24]], atol=1e-4)


def test_a_tie_is_broken_by_the_person_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = rig()
    for camera in cameras:
        write_image(tmp_path / f"{camera.name}.png", np.zeros((48, 64, 3), np.float32))
    footage = Footage(
        {camera.name: (64, 48) for camera in cameras},
        (Frame(0, {camera.name: Source(f"images/{camera.name}.png") for camera in cameras}),),
        {f"images/{camera.name}.png": tmp_path / f"{camera.name}.png" for camera in cameras},
    )
    seen = iter(torsos_of(cameras, Z, 1.5 * Z).values())
    monkeypatch.setattr(standing, "find_torso", lambda image, find: next(seen))
    monkeypatch.setattr(standing, "PoseNetwork", lambda: None)
    monkeypatch.setattr(standing, "_whole_person", lambda network: None)
    _, T, said = place(cameras, scale=1.0, world_up="cameras", floor=None, footage=footage)
    assert apart(T[:3, :3] @ Z, np.array([0.0, 1.0, 0.0])) < 3
    assert "the person in 6 cameras says so" in said[0]
    # The control: nobody in the pictures.
    monkeypatch.setattr(standing, "find_torso", lambda image, find: None)
    assert person_vote(cameras, footage) is None
    with pytest.raises(CalibrationError, match="which axis"):
        place(cameras, scale=1.0, world_up="cameras", floor=None, footage=footage)
