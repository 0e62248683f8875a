"""The capture that `simulacra bench length` makes: as long as asked for, out of a clip, and importable."""

from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.importers.opencv_yaml import import_opencv_yaml
from simulacra.recon.importers.options import OpencvYamlOptions
from simulacra.recon.session import Frame, Session, SessionCamera, Source
from simulacra.render.camera import look_at
from simulacra.render.image import write_image
from simulacra.render.runtime.errors import InputError
from simulacra.tools.bench.length import FPS, LengthRow, _row, write_capture

SIZE, COUNT = 32, 3


@pytest.fixture
def clip(tmp_path: Path) -> Session:
    eyes = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    views = look_at(eyes, torch.tensor([[0.0, 1.0, 0.0]] * 2, dtype=torch.float64), 40.0, SIZE, SIZE)
    cameras = tuple(
        SessionCamera(name, SIZE, SIZE, views.Ks[i].numpy(), views.viewmats[i].numpy())
        for i, name in enumerate("ab")
    )
    sources = [{name: Source(f"images/{name}/{i}.png") for name in "ab"} for i in range(COUNT)]
    for i, of in enumerate(sources):
        for source in of.values():
            write_image(tmp_path / "clip" / source.file, np.full((SIZE, SIZE, 3), i / 4, np.float32))
    return Session(tmp_path / "clip", cameras, tuple(Frame(i, of) for i, of in enumerate(sources)), (), {})


def test_a_clip_goes_forwards_and_backwards_and_keeps_its_cameras(clip: Session, tmp_path: Path) -> None:
    write_capture(clip, tmp_path / "capture", 8)
    options = OpencvYamlOptions(units="m", world_up="+y", floor=0.0, fps=FPS)
    session = import_opencv_yaml(tmp_path / "capture", tmp_path / "session", options)
    assert session.frame_indices == tuple(range(8))
    for index, shown in enumerate([0, 1, 2, 1, 0, 1, 2, 1]):
        path = session.path(session.frame(index).sources["b"].file)
        assert path.samefile(clip.path(f"images/b/{shown}.png"))
    for mine, theirs in zip(session.cameras, clip.cameras, strict=True):
        np.testing.assert_allclose(mine.K, theirs.K, atol=1e-9)
        np.testing.assert_allclose(mine.viewmat, theirs.viewmat, atol=1e-6)


def test_a_clip_of_videos_is_refused(clip: Session, tmp_path: Path) -> None:
    filmed = Frame(0, {name: Source("videos/a.mp4", 0) for name in "ab"})
    video = Session(clip.root, clip.cameras, (filmed,), (), {})
    with pytest.raises(InputError, match="not of pinhole pictures"):
        write_capture(video, tmp_path / "capture", 2)


def test_growth_is_of_a_thousand_frames_more_of_the_same_stage() -> None:
    rows = [LengthRow("fit", 100, 5.0, 50.0, 600.0, None), LengthRow("avatar", 100, 5.0, 50.0, 900.0, None)]
    row = _row("fit", 300, 30.0, 602.0, rows)
    assert (row.of_1000, row.growth_mb) == (100.0, 10.0)
    assert _row("observe", 300, 30.0, 602.0, rows).growth_mb is None
