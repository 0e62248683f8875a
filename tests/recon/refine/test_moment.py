"""The moment that is fused has depth of the person; where none has, that is said."""

from pathlib import Path

import numpy as np
import pytest

from simulacra.recon.refine.moment import LEAST_PIXELS, MOST_TRIED, choose_moment, clean_depths, count_usable
from simulacra.recon.session import Session, load_session
from simulacra.render.runtime.errors import CaptureError
from tests.recon.ellipsoid_person import synthetic_session

FRAMES = 4


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return synthetic_session(tmp_path / "s", cameras=3, frames=FRAMES, size=160)


def chosen(session: Session, ranked: list[int], empty: tuple[int, ...] = ()) -> int | None:
    def mask_of(frame: int, camera: str) -> np.ndarray | None:
        mask = session.mask(frame, camera)
        return np.zeros_like(mask) if frame in empty else mask

    return choose_moment(session, ranked, session.camera_names, mask_of)


def test_the_first_in_rank_whose_masks_and_depth_hold_the_person_is_chosen(session: Session) -> None:
    assert count_usable(clean_depths(session, 0, session.camera_names, session.mask).values()) > LEAST_PIXELS
    assert chosen(session, [2, 0, 1, 3]) == 2
    assert chosen(session, [2, 0, 1, 3], empty=(2, 0)) == 1


def test_depth_of_a_few_frames_is_found_however_late(session: Session) -> None:
    for camera in session.camera_names:
        for frame in (0, 1, 2):
            (session.root / f"depth/{camera}/{frame:06d}.png").unlink()
    assert chosen(load_session(session.root), [*[0, 1, 2] * MOST_TRIED, 3]) == 3


def test_depth_that_never_holds_the_person_is_an_error_and_no_depth_is_none(
    session: Session, tmp_path: Path
) -> None:
    with pytest.raises(CaptureError, match=r"nothing of the person[\s\S]*frames 0, 1, 2, 3"):
        chosen(session, [0, 1, 2, 3], empty=(0, 1, 2, 3))
    flat = synthetic_session(tmp_path / "flat", cameras=3, frames=1, size=160, depth=False)
    assert chosen(flat, [0]) is None
