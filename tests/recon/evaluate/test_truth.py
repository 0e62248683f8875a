"""The truth of virtual captures: it comes back as it was written, damage is named, and planted errors come out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulacra.recon.evaluate.scores import Missing
from simulacra.recon.evaluate.truth import FARTHEST, surface_error
from simulacra.recon.session import Frame, SessionCamera, Source, describe_session, load_session
from simulacra.recon.session.truth import (
    TrueCamera,
    TrueFrame,
    TrueView,
    read_truth,
    write_true_facts,
    write_true_frame,
    write_true_view,
)
from simulacra.render.runtime.errors import InputError

RNG = np.random.default_rng(0)
K = np.array([[40.0, 0, 16], [0, 40, 12], [0, 0, 1]])


def sheet(side: int = 41, size: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """A flat square of triangles in the plane z = 0."""
    x, y = np.meshgrid(np.linspace(-size, size, side), np.linspace(-size, size, side))
    verts = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float32)
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = (
        index[:-1, :-1].ravel(),
        index[:-1, 1:].ravel(),
        index[1:, 1:].ravel(),
        index[1:, :-1].ravel(),
    )
    return verts, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def true_frame(surface: np.ndarray) -> TrueFrame:
    return TrueFrame(
        RNG.normal(size=(10, 3)).astype(np.float32),
        RNG.normal(size=(4, 3)).astype(np.float32),
        surface,
        RNG.normal(size=(4, 3)).astype(np.float32),
        np.zeros(3, np.float32),
        np.zeros(5, np.float32),
    )


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, TrueFrame, TrueView]:
    """A session of one camera and one frame, with its truth."""
    verts, faces = sheet()
    camera = SessionCamera("a", 32, 24, K, np.eye(4))
    text = describe_session([camera], [Frame(0, {"a": Source("images/a/000000.png")})], notes=[], about={})
    (tmp_path / "session.json").write_text(text)
    root = tmp_path / "truth"
    write_true_facts(
        root,
        {"a": TrueCamera(K, np.eye(4), 0.02)},
        (np.full(11, 0.5, np.float32), np.zeros(3, np.float32)),
        ("root", "head", "hand", "foot"),
        (faces, np.zeros(len(faces), np.int64), ("skin",)),
        {"stage": {"frames": 1}},
    )
    frame = true_frame(verts)
    write_true_frame(root, 0, frame)
    depth = np.zeros((24, 32), np.float32)
    depth[5:20, 8:25] = 2.3456
    normals = np.zeros((24, 32, 3), np.float32)
    normals[depth > 0] = [0.0, 0.6, 0.8]
    view = TrueView(depth, (depth > 0).astype(np.float32), normals, RNG.random(len(verts)) < 0.4)
    write_true_view(root, 0, "a", view)
    return tmp_path, frame, view


def test_what_is_written_comes_back(written: tuple[Path, TrueFrame, TrueView]) -> None:
    root, frame, view = written
    truth = read_truth(load_session(root))
    assert truth is not None
    assert truth.cameras["a"].lag == 0.02
    assert truth.joint_names == ("root", "head", "hand", "foot")
    back = truth.frame(0)
    np.testing.assert_array_equal(back.body, frame.body)
    np.testing.assert_allclose(back.surface, frame.surface, atol=0.51e-4)
    seen = truth.view(0, "a")
    assert seen is not None
    np.testing.assert_allclose(seen.depth, view.depth, atol=0.51e-4)
    np.testing.assert_allclose(seen.normals, view.normals, atol=0.01)
    np.testing.assert_array_equal(seen.visible, view.visible)
    np.testing.assert_array_equal(seen.mask, view.mask)
    assert truth.view(1, "a") is None


def test_a_real_session_has_no_truth(written: tuple[Path, TrueFrame, TrueView]) -> None:
    root, _, _ = written
    (root / "truth" / "truth.json").unlink()
    assert read_truth(load_session(root)) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"schema": 7}', b"\xff\xfe"])
def test_a_damaged_description_is_named(written: tuple[Path, TrueFrame, TrueView], damage: bytes) -> None:
    root, _, _ = written
    (root / "truth" / "truth.json").write_bytes(damage)
    with pytest.raises(InputError):
        read_truth(load_session(root))


def test_a_damaged_frame_is_named(written: tuple[Path, TrueFrame, TrueView]) -> None:
    root, _, _ = written
    truth = read_truth(load_session(root))
    assert truth is not None
    path = root / "truth" / "frames" / "000000.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read"):
        truth.frame(0)
    (root / "truth" / "visible" / "a" / "000000.npy").write_bytes(b"no")
    with pytest.raises(InputError, match="visible"):
        truth.view(0, "a")


def test_a_person_too_far_away_does_not_fit_the_file(tmp_path: Path) -> None:
    far = true_frame(sheet()[0] + np.float32(4.0))
    with pytest.raises(ValueError, match="beyond"):
        write_true_frame(tmp_path, 0, far)


def test_the_truth_is_part_of_no_other_file(written: tuple[Path, TrueFrame, TrueView]) -> None:
    """The session's description does not say what the faults are."""
    root, _, _ = written
    assert "truth" not in json.loads((root / "session.json").read_text())


@pytest.mark.parametrize("distance", [0.0, 0.003, 0.02])
def test_a_surface_beside_the_true_one_is_as_far_as_it_is(distance: float) -> None:
    verts, faces = sheet()
    frame = true_frame(verts)
    # Points within the square, all over: both means are the distance, but for the second's spacing of points.
    grid = np.stack(np.meshgrid(np.linspace(-0.4, 0.4, 401), np.linspace(-0.4, 0.4, 401)), -1).reshape(-1, 2)
    points = torch.from_numpy(np.concatenate([grid, np.full((len(grid), 1), distance)], 1).astype(np.float32))
    found = surface_error(frame, faces, None, points)
    assert isinstance(found, float)
    assert found == pytest.approx(1000 * distance, abs=0.3)


def test_missing_parts_cost_and_no_part_costs_too_much() -> None:
    verts, faces = sheet()
    frame = true_frame(verts)
    grid = np.stack(np.meshgrid(np.linspace(-0.4, 0.0, 201), np.linspace(-0.4, 0.4, 401)), -1).reshape(-1, 2)
    half = torch.from_numpy(np.concatenate([grid, np.zeros((len(grid), 1))], 1).astype(np.float32))
    whole = surface_error(frame, faces, None, half)
    seen = verts[:, 0] <= 0  # what no camera saw does not have to be there
    fair = surface_error(frame, faces, seen, half)
    assert isinstance(whole, float) and isinstance(fair, float)
    # Half of the places are up to 0.4 m away, but none counts for more than FARTHEST: their mean is
    # (0.05 x 1/4 + 0.1 x 3/4) m, of all places half of it, and of both directions a half again.
    assert fair < 0.3
    assert whole == pytest.approx(21.9, abs=0.5)
    assert isinstance(surface_error(frame, faces, None, half[:0]), Missing)
    far = surface_error(replace(frame, surface=verts + np.float32(2.0)), faces, None, half)
    assert far == pytest.approx(1000 * FARTHEST)
